/** `deduplicateBy`: an item is left out while another with its key waits in its group. */
import { describe, expect, test } from "vitest";

import type { Batch } from "../../src/runtime/accumulator.ts";
import type { BatchContext } from "../../src/runtime/context.ts";
import type { Batchwork } from "../../src/runtime/engine.ts";
import { Fixture, STORAGES } from "./fixture.ts";

interface Event {
  readonly id: string;
  readonly part: number;
  readonly tenant?: string;
}

const LIMITS = { name: "events", maxSize: 10, maxWaitMs: 5000 };

class Delivered {
  readonly batches: Event[][] = [];

  readonly handler = (ctx: BatchContext<Event>): void => {
    this.batches.push([...ctx.batch]);
  };

  get names(): string[][] {
    return this.batches.map((batch) => batch.map(({ id, part }) => `${id}${part}`));
  }
}

function event(name: string, tenant?: string): Event {
  const [id = "", part = ""] = name;
  return { id, part: Number(part), ...(tenant === undefined ? {} : { tenant }) };
}

function events(...names: readonly string[]): Event[] {
  return names.map((name) => event(name));
}

type Define = (bw: Batchwork) => Batch<Event>;

const deduplicateBy = ({ id }: Event): string => id;

describe.each(STORAGES)("deduplicateBy on %s storage", (kind) => {
  test.each([true, false])("the first of its key is handed over, persist: %s", async (persist) => {
    const f = new Fixture(kind);
    const delivered = new Delivered();
    const { batch } = await f.started((bw) =>
      bw.batch<Event>({ ...LIMITS, persist, deduplicateBy, handler: delivered.handler }),
    );
    await f.run(batch.addBulk(events("a1", "b1", "a2")));
    await f.run(batch.add(event("b2")));
    await f.run(batch.add(event("c1")));
    expect(await f.run(batch.getBufferSize())).toBe(3);
    await f.run(batch.flush());
    expect(delivered.batches.flat()).toEqual(events("a1", "b1", "c1"));
  });

  test("a flush begins a new window", async () => {
    const f = new Fixture(kind);
    const delivered = new Delivered();
    const { batch } = await f.started((bw) =>
      bw.batch<Event>({ ...LIMITS, deduplicateBy, handler: delivered.handler }),
    );
    await f.run(batch.addBulk(events("a1", "a2")));
    await f.run(batch.flush());
    await f.run(batch.addBulk(events("a3", "a4")));
    await f.run(batch.flush());
    expect(delivered.names).toEqual([["a1"], ["a3"]]);
  });

  test("duplicates do not fill a batch", async () => {
    const f = new Fixture(kind);
    const delivered = new Delivered();
    const { batch } = await f.started((bw) =>
      bw.batch<Event>({ ...LIMITS, maxSize: 3, deduplicateBy, handler: delivered.handler }),
    );
    await f.run(batch.addBulk(events("a1", "a2", "a3", "a4", "b1", "b2")));
    await f.advance(LIMITS.maxWaitMs - 100);
    expect(delivered.names).toEqual([]);
    await f.run(batch.add(event("c1")));
    await f.advance(50);
    expect(delivered.names).toEqual([["a1", "b1", "c1"]]);
  });

  test("groups have windows of their own", async () => {
    const f = new Fixture(kind);
    const delivered = new Delivered();
    const { batch } = await f.started((bw) =>
      bw.batch<Event>({
        ...LIMITS,
        groupBy: ({ tenant = "" }) => tenant,
        deduplicateBy,
        handler: delivered.handler,
      }),
    );
    await f.run(batch.addBulk([event("a1", "x"), event("a2", "y"), event("a3", "x")]));
    expect(await f.run(batch.getBufferSize("x"))).toBe(1);
    await f.run(batch.flush());
    expect(delivered.names.flat().toSorted()).toEqual(["a1", "a2"]);
  });

  test("processes share the window, and a restart does not end it", async () => {
    const f = new Fixture(kind);
    const delivered = new Delivered();
    const define: Define = (bw) =>
      bw.batch<Event>({ ...LIMITS, deduplicateBy, handler: delivered.handler });
    const first = define(f.process().bw);
    const second = define(f.process().bw);
    await f.run(first.addBulk(events("a1", "b1")));
    await f.run(second.addBulk(events("a2", "c1")));
    const { batch } = await f.started(define);
    await f.run(batch.addBulk(events("b2", "d1")));
    await f.run(batch.flush());
    expect(delivered.names).toEqual([["a1", "b1", "c1", "d1"]]);
  });

  test("a retry does not hold the key, and comes back as it was", async () => {
    const f = new Fixture(kind);
    const delivered = new Delivered();
    const { batch } = await f.started((bw) =>
      bw.batch<Event>({
        ...LIMITS,
        retries: { max: 1, strategy: "fixed", baseDelay: 1000 },
        deduplicateBy,
        handler: (ctx) => {
          delivered.handler(ctx);
          if (ctx.attempt === 1 && ctx.batch[0]?.part === 1) throw new Error("no luck");
        },
      }),
    );
    await f.run(batch.addBulk(events("a1", "a2", "b1")));
    await f.run(batch.flush());
    await f.run(batch.addBulk(events("a3")));
    await f.run(batch.flush());
    await f.advance(2000);
    expect(delivered.names).toEqual([["a1", "b1"], ["a3"], ["a1", "b1"]]);
  });

  test("whoever adds a duplicate is not told, and its id is nobody else's", async () => {
    const f = new Fixture(kind);
    const delivered = new Delivered();
    const { batch } = await f.started((bw) =>
      bw.batch<Event>({ ...LIMITS, deduplicateBy, handler: delivered.handler }),
    );
    const results = await f.run(batch.addBulk(events("a1", "a2", "b1")));
    expect(results.map(({ duplicate }) => duplicate)).toEqual([false, false, false]);
    expect(new Set(results.map(({ id }) => id)).size).toBe(3);
  });

  test("what is no key is refused, and stores nothing", async () => {
    const f = new Fixture(kind);
    const keys: unknown[] = [7, undefined, null, "x".repeat(513), "\uD800"];
    const { batch } = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        deduplicateBy: (n) => keys[n] as string,
        handler: () => undefined,
      }),
    );
    for (const n of keys.keys()) {
      await expect(f.run(batch.add(n))).rejects.toMatchObject({
        code: "ITEM_INVALID",
        field: "deduplicateBy",
      });
    }
    expect(await f.run(batch.getBufferSize())).toBe(0);
  });

  test("an idempotency key beside it is refused, and stores nothing", async () => {
    const f = new Fixture(kind);
    const delivered = new Delivered();
    const { batch } = await f.started((bw) =>
      bw.batch<Event>({ ...LIMITS, deduplicateBy, handler: delivered.handler }),
    );
    await expect(f.run(batch.add(event("a1"), { idempotencyKey: "k" }))).rejects.toMatchObject({
      code: "OPTION_INVALID",
      field: "idempotencyKey",
    });
    expect(await f.run(batch.getBufferSize())).toBe(0);
  });
});

test("items of a transaction that is rolled back hold no keys", async () => {
  const f = new Fixture("sqlite");
  const delivered = new Delivered();
  const { batch } = await f.started((bw) =>
    bw.batch<Event>({ ...LIMITS, deduplicateBy, handler: delivered.handler }),
  );
  const handle = f.handle();
  handle.exec("BEGIN IMMEDIATE");
  batch.addBulkSync(events("a1", "a2"), { tx: handle });
  handle.exec("ROLLBACK");
  handle.exec("BEGIN IMMEDIATE");
  batch.addBulkSync(events("a3", "a4", "b1"), { tx: handle });
  handle.exec("COMMIT");
  await f.run(batch.flush());
  expect(delivered.names).toEqual([["a3", "b1"]]);
});
