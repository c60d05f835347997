/** `maxPending`: how much may be accepted and unfinished, over all processes. */
import { describe, expect, test } from "vitest";

import { QueueFullError } from "../../src/core/pending.ts";
import type { Batch } from "../../src/runtime/accumulator.ts";
import type { BatchOptions } from "../../src/runtime/batch-options.ts";
import type { Batchwork } from "../../src/runtime/engine.ts";
import { memory } from "../../src/storage/memory/index.ts";
import { Fixture, Hold, numbers, outcomeOf, recorder, STORAGES } from "./fixture.ts";

const OPTIONS = {
  name: "orders",
  maxSize: 5,
  maxWaitMs: 60_000,
  maxPending: { items: 10, policy: "reject" },
  handler: () => undefined,
} satisfies BatchOptions<number>;

const WAITING = { ...OPTIONS, maxPending: { items: 10, policy: "wait" } } as const;

type Define = (bw: Batchwork) => Batch<number>;

function defining(options: Partial<BatchOptions<number>> = {}): Define {
  return (bw) => bw.batch<number>({ ...OPTIONS, ...options });
}

describe.each(STORAGES)("adds beyond maxPending on %s storage", (kind) => {
  test("are rejected with QUEUE_FULL, which says how much fits and what to do", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { batch } = await f.started(defining({ handler: () => hold.wait() }));
    await f.run(batch.addBulk(numbers(8)));
    const error: unknown = await f.run(
      batch.addBulk(numbers(3)).catch((thrown: unknown) => thrown),
    );
    expect(error).toBeInstanceOf(QueueFullError);
    expect(error).toMatchObject({
      code: "QUEUE_FULL",
      field: "maxPending.items",
      value: 3,
      limit: { items: 10 },
      room: { items: 2 },
      need: { items: 3 },
    });
    expect((error as Error).message).toMatch(
      /^maxPending allows 10 items that wait or run; there is room for 2 more, not for 3, .*raise/,
    );
    await f.run(batch.addBulk(numbers(2)));
    expect(await outcomeOf(f.run(batch.add(1)))).toBe("QUEUE_FULL");
    hold.releaseAll();
    await f.advance(60_000);
    await f.run(batch.addBulk(numbers(10)));
  });

  test("are stored all or none, and single adds of one moment as far as they fit", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started(defining({ maxSize: 500 }));
    const adds = numbers(25).map((n) => outcomeOf(batch.add(n)));
    const outcomes = await f.run(Promise.all(adds));
    expect(outcomes.slice(0, 10)).toEqual(numbers(10).map(() => "fulfilled"));
    expect(outcomes.slice(10)).toEqual(numbers(15).map(() => "QUEUE_FULL"));
    expect(await f.run(batch.getBufferSize())).toBe(10);
  });

  test("a smaller call may fit where a larger one did not", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started(defining({ maxSize: 500 }));
    const calls = [6, 6, 4].map((count) => outcomeOf(batch.addBulk(numbers(count))));
    expect(await f.run(Promise.all(calls))).toEqual(["fulfilled", "QUEUE_FULL", "fulfilled"]);
  });

  test("a call that never fits is refused at once, whatever the policy", async () => {
    const f = new Fixture(kind);
    const reject = await f.started(defining());
    const wait = await f.started((bw) => bw.batch<number>({ ...WAITING, name: "waiting" }));
    for (const { batch } of [reject, wait]) {
      await expect(f.run(batch.addBulk(numbers(11)))).rejects.toMatchObject({
        code: "CALL_TOO_LARGE",
        field: "items",
        value: 11,
      });
      const idempotencyKey = (n: number): string => `key ${n}`;
      await expect(f.run(batch.addBulk(numbers(11), { idempotencyKey }))).rejects.toMatchObject({
        code: "CALL_TOO_LARGE",
      });
      expect(await f.run(batch.getBufferSize())).toBe(0);
    }
  });

  test("wait their turn with the policy wait, in order, and none is lost", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { deliveries, handler } = recorder<number>(f.clock, () => hold.wait());
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...WAITING, concurrency: 1, handler }),
    );
    const adds = [numbers(10), [10, 11, 12], [13], [14, 15]].map((items) => batch.addBulk(items));
    await f.run(adds[0] as Promise<unknown>);
    await f.advance(100);
    for (const add of adds.slice(1)) expect(await f.isPending(add)).toBe(true);
    expect(await f.run(batch.getBufferSize())).toBe(5);
    hold.release();
    await f.advance(2000);
    // Three and one fit into five, the call after them does not: it is behind them all the same.
    expect(await f.isPending(adds[2] as Promise<unknown>)).toBe(false);
    expect(await f.isPending(adds[3] as Promise<unknown>)).toBe(true);
    hold.releaseAll();
    await f.advance(120_000);
    await f.run(Promise.all(adds));
    expect(deliveries.flatMap(({ items }) => items)).toEqual(numbers(16));
  });

  test("those that wait are rejected when the engine stops", async () => {
    const f = new Fixture(kind);
    const { bw, batch } = await f.started((bw2) => bw2.batch<number>({ ...WAITING, maxSize: 500 }));
    await f.run(batch.addBulk(numbers(10)));
    const plain = outcomeOf(batch.add(1));
    const keyed = outcomeOf(batch.add(2, { idempotencyKey: "two" }));
    await f.advance(10);
    await f.runFor(2000, bw.stop());
    expect(await f.run(Promise.all([plain, keyed]))).toEqual(["STOPPED", "STOPPED"]);
  });

  test("flush and drain do not wait for what waits for room", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started((bw) => bw.batch<number>({ ...WAITING, maxSize: 500 }));
    await f.run(batch.addBulk(numbers(10)));
    const late = batch.add(10);
    expect(await f.isPending(late)).toBe(true);
    await f.runFor(100, batch.flush());
    await f.runFor(2000, late);
    expect(await f.run(batch.getBufferSize())).toBe(1);
  });

  test("count what another process has added, and what it never got done", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const options = { maxSize: 10, handler: () => hold.wait() };
    const one = await f.started(defining(options));
    const two = await f.started(defining({ maxSize: 10 }));
    await f.run(one.bw.tick());
    await f.run(two.batch.pause());
    await f.run(one.batch.addBulk(numbers(6)));
    await f.run(two.batch.addBulk(numbers(4)));
    expect(await outcomeOf(f.run(two.batch.add(1)))).toBe("QUEUE_FULL");
    await f.run(one.batch.resume());
    await f.advance(50);
    one.process.kill();
    expect(await outcomeOf(f.run(two.batch.add(1)))).toBe("QUEUE_FULL");
    await f.advance(90_000);
    await f.run(two.batch.addBulk(numbers(10)));
  });

  test("with an idempotency key a repeat needs no room", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started(defining({ maxSize: 500 }));
    const key = (n: number): { readonly idempotencyKey: string } => ({
      idempotencyKey: `key ${n}`,
    });
    const first = await f.run(batch.add(1, key(1)));
    await f.run(batch.addBulk(numbers(9)));
    expect(await f.run(batch.add(1, key(1)))).toEqual({ id: first.id, duplicate: true });
    expect(await outcomeOf(f.run(batch.add(2, key(2))))).toBe("QUEUE_FULL");
  });

  test("with an idempotency key they wait as well, and are stored once", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...WAITING, maxSize: 500, handler }),
    );
    await f.run(batch.addBulk(numbers(10)));
    const twice = [0, 1].map(() => batch.add(10, { idempotencyKey: "ten" }));
    await f.advance(100);
    expect(await f.isPending(Promise.all(twice))).toBe(true);
    await f.advance(62_000);
    const results = await f.run(Promise.all(twice));
    expect(results.filter(({ duplicate }) => duplicate)).toHaveLength(1);
    await f.advance(62_000);
    expect(deliveries.flatMap(({ items }) => items)).toEqual(numbers(11));
  });

  test("inside a transaction they are rejected at once, and it goes on", async () => {
    const f = new Fixture(kind);
    const outcomes: unknown[] = [];
    const { bw, batch } = await f.started((bw2) => bw2.batch<number>({ ...WAITING, maxSize: 500 }));
    const trigger = bw.batch<number>({
      name: "trigger",
      maxSize: 1,
      maxWaitMs: 0,
      handler: (ctx) =>
        ctx.tx((tx) => {
          batch.addBulkSync(numbers(8), { tx });
          try {
            batch.addBulkSync(numbers(3), { tx });
          } catch (error) {
            outcomes.push((error as { readonly code: string }).code);
          }
          batch.addBulkSync(numbers(2), { tx });
        }),
    });
    await f.run(trigger.add(1));
    await f.advance(100);
    expect(outcomes).toEqual(["QUEUE_FULL"]);
    expect(await f.run(batch.getBufferSize())).toBe(10);
  });

  test("bytes are limited as items are", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started((bw) =>
      bw.batch<string>({
        name: "texts",
        maxSize: 500,
        maxWaitMs: 60_000,
        maxPending: { bytes: 100 },
        handler: () => undefined,
      }),
    );
    await f.run(batch.add("x".repeat(60)));
    await expect(f.run(batch.add("x".repeat(60)))).rejects.toMatchObject({
      code: "QUEUE_FULL",
      field: "maxPending.bytes",
      room: { bytes: 38 },
    });
    await f.run(batch.add("x".repeat(30)));
  });

  test("a storage that fails rejects those that it failed, and no others", async () => {
    const f = new Fixture(kind);
    const { process, batch } = await f.started(defining({ maxSize: 500 }));
    process.faults = ({ method }) => (method === "append" ? { fail: "before" } : undefined);
    expect(await outcomeOf(f.run(batch.add(1)))).toBe("STORAGE_FAILED");
    process.faults = () => undefined;
    await f.run(batch.addBulk(numbers(10)));
  });
});

test("maxPending holds for items of this process alone as well", async () => {
  const f = new Fixture("memory");
  const { batch } = await f.started((bw) =>
    bw.batch<number>({ ...OPTIONS, maxSize: 500, persist: false }),
  );
  const adds = numbers(12).map((n) => outcomeOf(batch.add(n)));
  const outcomes = await f.run(Promise.all(adds));
  expect(outcomes.filter((outcome) => outcome === "QUEUE_FULL")).toHaveLength(2);
});

test("a limit on bytes measures items of this process as well", async () => {
  const f = new Fixture("memory");
  const storage = memory({ payload: "reference" });
  const { batch } = await f.started(
    (bw) =>
      bw.batch<string>({
        name: "texts",
        maxSize: 500,
        maxWaitMs: 60_000,
        maxPending: { bytes: 50 },
        handler: () => undefined,
      }),
    { storage },
  );
  await f.run(batch.add("x".repeat(40)));
  expect(await outcomeOf(f.run(batch.add("x".repeat(40))))).toBe("QUEUE_FULL");
});
