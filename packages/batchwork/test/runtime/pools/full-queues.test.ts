/** Batches and pools that are full: what `explain` says of them, and what changes do to waiters. */
import { describe, expect, test } from "vitest";

import {
  hasCode,
  type Batch,
  type BatchOptions,
  type Batchwork,
  type PendingOptions,
} from "../../../src/index.ts";
import { Busy, homes, numbers, World, type HeldPool } from "./world.ts";

const OPTIONS = {
  name: "orders",
  maxSize: 500,
  maxWaitMs: 3_600_000,
  handler: () => undefined,
} satisfies BatchOptions<number>;

function defining(options: Partial<BatchOptions<number>>): (bw: Batchwork) => Batch<number> {
  return (bw) => bw.batch<number>({ ...OPTIONS, ...options });
}

/** A pool that runs nothing. */
function holding(maxPending?: PendingOptions): (bw: Batchwork) => HeldPool {
  const { handler } = new Busy();
  const limit = maxPending === undefined ? {} : { maxPending };
  return (bw) => bw.pool({ name: "p", maxParallelism: 0, handlers: { hold: handler }, ...limit });
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "fulfilled",
    (error: unknown) => (error as { readonly code?: string }).code ?? String(error),
  );
}

describe.each(homes())("a batch with maxPending on $name", (home) => {
  test("explain says that it is full, and how many calls of this process wait", async () => {
    const world = await World.on(home);
    const define = defining({ maxPending: { items: 10, policy: "wait" } });
    const { pool: batch } = await world.started(define);
    const { pool: elsewhere } = await world.started(define);
    await world.run(batch.addBulk(numbers(8)));
    const before = await world.run(batch.explain());
    expect(before).toMatchObject({
      waitsFor: "size or time",
      pending: {
        items: 8,
        bytes: 8,
        limit: { items: 10, bytes: Number.POSITIVE_INFINITY },
        policy: "wait",
        full: false,
        waitingHere: 0,
      },
    });
    expect(before.text).not.toMatch(/full/);
    const calls = [
      batch.addBulk(numbers(3)),
      batch.add(4),
      batch.addBulk([5, 6, 7], { idempotencyKey: (n) => `key ${n}` }),
    ];
    await world.until(async () => (await world.run(batch.explain())).pending?.waitingHere === 3);
    const full = await world.run(batch.explain());
    expect(full).toMatchObject({ waitsFor: "size or time", pending: { items: 8, full: true } });
    expect(full.text).toMatch(
      / It is full \(maxPending\): 8 of 10 items are pending, and what is added waits for room: 3 /,
    );
    // Nobody waits in the other process.
    const there = await world.run(elsewhere.explain());
    expect(there.pending).toMatchObject({ items: 8, full: false, waitingHere: 0 });
    await world.run(batch.flush());
    await world.run(Promise.all(calls));
    expect((await world.run(batch.explain())).pending).toMatchObject({ items: 7, waitingHere: 0 });
  });

  test("explain says that adds are rejected where the policy is to reject, in items and bytes", async () => {
    const world = await World.on(home);
    const { pool: batch } = await world.started(
      defining({ maxPending: { items: 5, bytes: 10, policy: "reject" } }),
    );
    await world.run(batch.addBulk([12_345, 12_345]));
    const { pending, text } = await world.run(batch.explain());
    expect(pending).toMatchObject({ items: 2, bytes: 10, full: true, waitingHere: 0 });
    expect(text).toMatch(
      /2 of 5 items and 10 of 10 bytes are pending, and what is added is rejected\.$/,
    );
    await world.run(batch.flush());
    await world.until(async () => (await world.run(batch.explain())).pending?.full === false);
  });

  test("explain says nothing of it without maxPending", async () => {
    const world = await World.on(home);
    const { pool: batch } = await world.started(defining({}));
    expect((await world.run(batch.explain())).pending).toBeNull();
  });

  test("a call that waits when the limit becomes lower than it is refused; others go on", async () => {
    const world = await World.on(home);
    const { pool: batch } = await world.started(
      defining({ maxPending: { items: 10, policy: "wait" } }),
    );
    await world.run(batch.addBulk(numbers(10)));
    const plain = codeOf(batch.addBulk(numbers(8)));
    const keyed = codeOf(batch.addBulk(numbers(8), { idempotencyKey: (n) => `key ${n}` }));
    const small = batch.add(1);
    await world.advance(100);
    await world.started(defining({ version: 2, maxPending: { items: 5, policy: "wait" } }));
    expect(await world.run(Promise.all([plain, keyed]))).toEqual([
      "CALL_TOO_LARGE",
      "CALL_TOO_LARGE",
    ]);
    await world.run(batch.flush());
    await world.run(small);
  });
});

describe.each(homes())("a pool with maxPending on $name", (home) => {
  test("explain says how full the pool is, and how many calls of this process wait", async () => {
    const world = await World.on(home);
    const define = holding({ items: 10, bytes: 100_000, policy: "wait" });
    const { pool } = await world.started(define);
    await world.run(pool.enqueueBatch("hold", numbers(9)));
    const before = await world.run(pool.explain());
    expect(before.pending).toMatchObject({
      items: 9,
      limit: { items: 10, bytes: 100_000 },
      policy: "wait",
      full: false,
      waitingHere: 0,
    });
    expect(before.text).not.toMatch(/full/);
    const calls = [
      pool.enqueueBatch("hold", [1, 2]),
      pool.enqueue("hold", 3),
      pool.enqueueBatch("hold", [4, 5], { idempotencyKey: (n) => `key ${String(n)}` }),
    ];
    await world.until(async () => (await world.run(pool.explain())).pending?.waitingHere === 3);
    const { pending, text, waitsFor } = await world.run(pool.explain());
    expect(pending).toMatchObject({ items: 9, full: true });
    expect(pending?.bytes).toBeGreaterThan(9);
    expect(waitsFor).toBe("paused");
    expect(text).toMatch(
      /It is full \(maxPending\): 9 of 10 tasks and \d+ of 100000 bytes are .*3 calls of this process\.$/,
    );
    // Another process has nobody who waits; it sees how full it is all the same.
    const other = await world.started(define);
    expect((await world.run(other.pool.explain())).pending).toMatchObject({
      items: 9,
      waitingHere: 0,
    });
    await world.run(pool.cancelAll());
    await world.run(Promise.all(calls));
    expect((await world.run(pool.explain())).pending).toMatchObject({ items: 5, full: false });
  });

  test("explain says of a pool without maxPending that it has none", async () => {
    const world = await World.on(home);
    const { pool } = await world.started(holding());
    expect((await world.run(pool.explain())).pending).toBeNull();
  });
});

describe.each(homes())("definitions that come while the engine starts, on $name", (home) => {
  test("take part, those of batches and of pools", async () => {
    const world = await World.on(home);
    const { bw } = world.process();
    bw.batch<number>({ ...OPTIONS, name: "early", maxPending: { items: 1 } });
    const starting = bw.start();
    const late = bw.batch<number>({ ...OPTIONS, name: "late", maxPending: { items: 1 } });
    const pool = bw.pool({
      name: "tasks",
      maxPending: { items: 1 },
      handlers: { twice: async (n: number) => n * 2 },
    });
    await world.run(starting);
    await world.run(late.add(1));
    const second: unknown = await world.run(late.add(2).catch((error: unknown) => error));
    expect(hasCode(second, "QUEUE_FULL")).toBe(true);
    const id = await world.run(pool.enqueue("twice", 4));
    expect(await world.run(pool.result(id))).toEqual({ kind: "success", returnValue: 8 });
    expect((await world.run(pool.explain())).pending).toMatchObject({ limit: { items: 1 } });
  });
});
