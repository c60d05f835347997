/** What `add` and `addBulk` promise about the moment they resolve, and what they refuse. */
import { describe, expect, test } from "vitest";

import { CALL_BYTES_MAX, CALL_ITEMS_MAX, ITEM_BYTES_MAX } from "../../src/core/limits.ts";
import { Fixture, itemsOf, numbers, outcomeOf, recorder, STORAGES } from "./fixture.ts";

const LIMITS = { name: "events", maxSize: 500, maxWaitMs: 1000 };

describe.each(STORAGES)("add on %s storage", (kind) => {
  test("an add resolves only after the commit that carries it", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder(f.clock);
    const { process, batch } = await f.started((bw) => bw.batch({ ...LIMITS, handler }));
    process.faults = ({ method }) =>
      method === "append" ? { delayBeforeMs: 100, delayAfterMs: 100 } : undefined;
    const adding = batch.add({ n: 1 });
    await f.advance(50);
    expect(await f.isPending(adding)).toBe(true);
    expect(await f.run(batch.getBufferSize())).toBe(0);
    await f.advance(100);
    expect(await f.isPending(adding)).toBe(true);
    expect(await f.run(batch.getBufferSize())).toBe(1);
    await f.advance(50);
    expect(await f.run(adding)).toEqual({ id: expect.any(String) as unknown, duplicate: false });
  });

  test("a bulk resolves only after its commit", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder(f.clock);
    const { process, batch } = await f.started((bw) => bw.batch({ ...LIMITS, handler }));
    process.faults = ({ method }) => (method === "append" ? { delayBeforeMs: 100 } : undefined);
    const adding = batch.addBulk([1, 2, 3]);
    await f.advance(99);
    expect(await f.isPending(adding)).toBe(true);
    await f.advance(1);
    expect(await f.run(adding)).toHaveLength(3);
  });

  test("items added before start are stored, and handed over once the engine is started", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const process = f.process();
    const batch = process.bw.batch<number>({ ...LIMITS, handler });
    await f.run(batch.addBulk(numbers(600)));
    await f.advance(10_000);
    expect(deliveries).toEqual([]);
    expect(await f.run(batch.getBufferSize())).toBe(600);
    await f.run(process.bw.start());
    await f.advance(0);
    expect(itemsOf(deliveries)).toEqual(numbers(600));
  });

  test("an add after stop is refused, and nothing is stored", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder(f.clock);
    const { bw, batch } = await f.started((bw) => bw.batch({ ...LIMITS, handler }));
    await f.runFor(0, bw.stop());
    await expect(f.run(batch.add(1))).rejects.toMatchObject({ code: "STOPPED" });
    await expect(f.run(batch.addBulk([1]))).rejects.toMatchObject({ code: "STOPPED" });
    expect(() => batch.addSync(1, { tx: {} })).toThrow(
      expect.objectContaining({ code: "STOPPED" }),
    );
    const next = await f.started((bw) => bw.batch({ ...LIMITS, handler }));
    expect(await f.run(next.batch.getBufferSize())).toBe(0);
  });

  test("an add whose commit failed rejects, and later adds work", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<string>(f.clock);
    const { process, batch } = await f.started((bw) => bw.batch<string>({ ...LIMITS, handler }));
    process.faults = ({ method }) => (method === "append" ? { fail: "before" } : undefined);
    const adding = Promise.allSettled([batch.add("lost"), batch.addBulk(["lost too"])]);
    expect(await f.run(adding)).toMatchObject([
      { status: "rejected", reason: { code: "STORAGE_FAILED" } },
      { status: "rejected", reason: { code: "STORAGE_FAILED" } },
    ]);
    process.faults = () => undefined;
    await f.run(batch.add("kept"));
    await f.advance(1000);
    expect(itemsOf(deliveries)).toEqual(["kept"]);
  });

  test("an add that meets a taken write lock tells so, and stored nothing", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder(f.clock);
    const { process, batch } = await f.started((bw) => bw.batch({ ...LIMITS, handler }));
    process.faults = ({ method }) => (method === "append" ? { fail: "busy" } : undefined);
    await expect(f.run(batch.add(1))).rejects.toMatchObject({ code: "STORAGE_BUSY" });
    expect(await f.run(batch.getBufferSize())).toBe(0);
  });

  test("an item that is changed after add is stored as it was at the call", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<{ n: number }>(f.clock);
    const { batch } = await f.started((bw) => bw.batch<{ n: number }>({ ...LIMITS, handler }));
    const item = { n: 1 };
    const adding = batch.add(item);
    item.n = 2;
    await f.run(adding);
    await f.advance(1000);
    expect(itemsOf(deliveries)).toEqual([{ n: 1 }]);
  });

  test("values that JSON cannot say reach the handler unchanged", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder(f.clock);
    const { batch } = await f.started((bw) => bw.batch({ ...LIMITS, handler }));
    const items = [
      { at: new Date(1234), big: 12n ** 30n, none: undefined, map: new Map([[1, new Set(["a"])]]) },
      -0,
      Number.NaN,
      undefined,
      null,
      new Uint8Array([1, 2, 255]),
      "line\nbreak \u0000 \u2028 é",
    ];
    await f.run(batch.addBulk(items));
    await f.advance(1000);
    expect(itemsOf(deliveries)).toStrictEqual(items);
  });

  test("ids are unique, and the handler is given the very ids that add returned", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, maxSize: 7, handler }));
    const ids: string[] = [];
    for (let round = 0; round < 5; round++) {
      const single = await f.run(Promise.all([batch.add(round), batch.add(round)]));
      const bulk = await f.run(batch.addBulk(numbers(round)));
      ids.push(...[...single, ...bulk].map(({ id }) => id));
    }
    await f.advance(1000);
    expect(new Set(ids).size).toBe(20);
    expect(deliveries.flatMap(({ itemIds }) => itemIds)).toEqual(ids);
  });
});

describe.each(STORAGES)("what add refuses on %s storage", (kind) => {
  test("one bad item refuses the whole bulk, and the error names its path", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder(f.clock);
    const { process, batch } = await f.started((bw) => bw.batch({ ...LIMITS, handler }));
    const bad = { user: { greet: () => "hello" } };
    await expect(f.run(batch.addBulk([1, bad, 3]))).rejects.toMatchObject({
      code: "ITEM_INVALID",
      field: "$.user.greet",
    });
    await expect(f.run(batch.add(bad))).rejects.toMatchObject({ code: "ITEM_INVALID" });
    expect(await f.run(batch.getBufferSize())).toBe(0);
    expect(process.count("append")).toBe(0);
  });

  test("a bulk whose commit fails stores none of its items, in no group", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock);
    const { process, batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, groupBy: (n) => String(n % 10), handler }),
    );
    process.faults = ({ method }) => (method === "append" ? { fail: "before" } : undefined);
    await expect(f.run(batch.addBulk(numbers(100)))).rejects.toMatchObject({
      code: "STORAGE_FAILED",
    });
    expect(await f.run(batch.getBufferSize())).toBe(0);
  });

  // Two quotation marks are part of the item's text.
  test.each([
    { bytes: ITEM_BYTES_MAX - 1, fits: true },
    { bytes: ITEM_BYTES_MAX, fits: true },
    { bytes: ITEM_BYTES_MAX + 1, fits: false },
  ])("an item of $bytes bytes fits: $fits", async ({ bytes, fits }) => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<string>(f.clock);
    const { batch } = await f.started((bw) => bw.batch<string>({ ...LIMITS, handler }));
    const item = "x".repeat(bytes - 2);
    const outcome = await outcomeOf(f.run(batch.add(item)));
    expect(outcome).toBe(fits ? "fulfilled" : "ITEM_TOO_LARGE");
    await f.advance(1000);
    expect(itemsOf(deliveries)).toEqual(fits ? [item] : []);
  });

  test("an item is measured in bytes, and none is larger than maxBytes", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder(f.clock);
    const { batch } = await f.started((bw) => bw.batch({ ...LIMITS, maxBytes: 10, handler }));
    await expect(f.run(batch.add("ééééé"))).rejects.toMatchObject({ code: "ITEM_TOO_LARGE" });
    await expect(f.run(batch.addBulk(["a", "éééé"]))).resolves.toHaveLength(2);
  });

  test.each([
    { count: CALL_ITEMS_MAX - 1, fits: true },
    { count: CALL_ITEMS_MAX, fits: true },
    { count: CALL_ITEMS_MAX + 1, fits: false },
  ])("a bulk of $count items fits: $fits", async ({ count, fits }) => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock);
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, maxSize: 100_000, handler }),
    );
    const outcome = await outcomeOf(f.run(batch.addBulk(numbers(count))));
    expect(outcome).toBe(fits ? "fulfilled" : "CALL_TOO_LARGE");
    expect(await f.run(batch.getBufferSize())).toBe(fits ? count : 0);
  });

  test.each([
    { bytes: CALL_BYTES_MAX - 1, fits: true },
    { bytes: CALL_BYTES_MAX, fits: true },
    { bytes: CALL_BYTES_MAX + 1, fits: false },
  ])("a bulk of $bytes bytes fits: $fits", async ({ bytes, fits }) => {
    const f = new Fixture(kind);
    const { handler } = recorder(f.clock);
    const { batch } = await f.started((bw) => bw.batch({ ...LIMITS, handler }));
    const quarter = ITEM_BYTES_MAX / 4;
    const full = CALL_BYTES_MAX / quarter - 1;
    const items = Array.from({ length: full }, () => "x".repeat(quarter - 2));
    items.push("x".repeat(bytes - full * quarter - 2));
    const outcome = await outcomeOf(f.run(batch.addBulk(items)));
    expect(outcome).toBe(fits ? "fulfilled" : "CALL_TOO_LARGE");
    expect(await f.run(batch.getBufferSize())).toBe(fits ? full + 1 : 0);
  });
});
