/** `hooks.beforeFlush`: what it may make of a batch, when it is called, and what stays of it. */
import { describe, expect, expectTypeOf, test } from "vitest";

import { Batchwork, type Batch } from "../../src/index.ts";
import { memory } from "../../src/storage/memory/index.ts";
import { Fixture, Hold, recorder, STORAGES, type Process } from "./fixture.ts";

const LIMITS = { name: "logs", maxSize: 4, maxWaitMs: 1000 };

interface Line {
  readonly level: string;
  readonly n: number;
}

type Flush = (items: Line[], groupKey: string | undefined) => unknown;

function lines(...levels: string[]): Line[] {
  return levels.map((level, n) => ({ level, n }));
}

async function start(
  f: Fixture,
  beforeFlush: Flush,
  options: object = {},
): Promise<{
  readonly process: Process;
  readonly batch: Batch<Line>;
  readonly deliveries: ReturnType<typeof recorder<Line>>["deliveries"];
}> {
  const { deliveries, handler } = recorder<Line>(f.clock);
  const hooks = { beforeFlush: beforeFlush as () => Line[] };
  const { process, batch } = await f.started((bw) =>
    bw.batch<Line>({ ...LIMITS, handler, ...options, hooks }),
  );
  return { process, batch, deliveries };
}

describe.each(STORAGES)("hooks.beforeFlush on %s storage", (kind) => {
  test("items that it leaves out reach no handler and are done", async () => {
    const f = new Fixture(kind);
    const { batch, deliveries } = await start(f, (items) => {
      return items.filter(({ level }) => level !== "debug");
    });
    const added = await f.run(batch.addBulk(lines("info", "debug", "warn", "debug")));
    await f.advance(0);
    expect(deliveries).toMatchObject([
      {
        items: [
          { level: "info", n: 0 },
          { level: "warn", n: 2 },
        ],
        itemIds: [added[0]?.id, added[2]?.id],
      },
    ]);
    expect(await f.run(batch.status())).toMatchObject({ waiting: 0, leased: 0, dead: 0 });
  });

  test("it may change items, add some and put them in another order", async () => {
    const f = new Fixture(kind);
    const { batch, deliveries } = await start(f, async (items) => {
      const [first, second] = items as [Line, Line];
      return [second, { level: "new", n: 7 }, { ...first, level: "changed" }];
    });
    const added = await f.run(batch.addBulk(lines("info", "warn")));
    await f.advance(1000);
    expect(deliveries[0]?.items).toEqual([
      { level: "warn", n: 1 },
      { level: "new", n: 7 },
      { level: "changed", n: 0 },
    ]);
    expect(deliveries[0]?.itemIds[0]).toBe(added[1]?.id);
    const ids = [...(deliveries[0]?.itemIds ?? []), ...added.map(({ id }) => id)];
    expect(new Set(ids).size).toBe(4);
  });

  test("an item that it changes in place keeps its id", async () => {
    const f = new Fixture(kind);
    const { batch, deliveries } = await start(f, (items) => {
      (items[0] as { level: string }).level = "changed";
      return items;
    });
    const added = await f.run(batch.addBulk(lines("info", "warn")));
    await f.advance(1000);
    expect(deliveries[0]?.items.map(({ level }) => level)).toEqual(["changed", "warn"]);
    expect(deliveries[0]?.itemIds).toEqual(added.map(({ id }) => id));
  });

  test("it is told the group, and nothing without groupBy", async () => {
    const f = new Fixture(kind);
    const groups: unknown[] = [];
    const note: Flush = (items, groupKey) => {
      groups.push(groupKey);
      return items;
    };
    const { batch } = await start(f, note, { groupBy: ({ level }: Line) => level });
    const other = await start(f, note, { name: "other" });
    await f.run(batch.add({ level: "warn", n: 1 }));
    await f.run(other.batch.add({ level: "warn", n: 1 }));
    await f.advance(1000);
    expect(groups).toHaveLength(2);
    expect(groups).toContain("warn");
    expect(groups).toContain(undefined);
  });

  test("a retry is of the same items, and it is not called again", async () => {
    const f = new Fixture(kind);
    let calls = 0;
    const { deliveries, handler } = recorder<Line>(f.clock, ({ attempt }) => {
      if (attempt < 3) throw new Error("no luck");
    });
    const beforeFlush: Flush = (items) => {
      calls++;
      return items.map((item) => ({ ...item, level: `call ${calls}` }));
    };
    const { batch } = await start(f, beforeFlush, { handler, retries: { max: 2 } });
    await f.run(batch.add({ level: "info", n: 0 }));
    await f.advance(60_000);
    expect(deliveries.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    expect(new Set(deliveries.map(({ id }) => id)).size).toBe(1);
    expect(deliveries.map(({ items }) => items[0]?.level)).toEqual(["call 1", "call 1", "call 1"]);
    expect(new Set(deliveries.map(({ itemIds }) => itemIds[0])).size).toBe(1);
  });

  test("the parts of a batch that is cut in two do not go through it again", async () => {
    const f = new Fixture(kind);
    let calls = 0;
    const { deliveries, handler } = recorder<Line>(f.clock, ({ batch }) => {
      if (batch.some(({ level }) => level === "bad")) throw new Error("bad");
    });
    const beforeFlush: Flush = (items) => {
      calls++;
      return items.map(({ level, n }) => ({ level, n: n + 10 }));
    };
    const { batch } = await start(f, beforeFlush, { handler, onFailure: "bisect" });
    await f.run(batch.addBulk(lines("a", "bad", "b", "c")));
    await f.advance(60_000);
    expect(calls).toBe(1);
    const [letter] = await f.run(batch.deadLetters.list());
    expect(letter?.item).toEqual({ level: "bad", n: 11 });
    expect(letter?.itemId).toBe(deliveries[0]?.itemIds[1]);
    expect(deliveries.flatMap(({ items }) => items).every(({ n }) => n >= 10)).toBe(true);
  });

  test("nothing left is a batch that is done without its handler", async () => {
    const f = new Fixture(kind);
    const { batch, deliveries } = await start(f, () => []);
    await f.run(batch.addBulk(lines("debug", "debug")));
    await f.advance(1000);
    expect(deliveries).toEqual([]);
    await f.run(batch.drain());
    expect(await f.run(batch.status())).toMatchObject({ waiting: 0, leased: 0, dead: 0 });
  });

  test("a throw hurts only its own batch, and counts as an attempt", async () => {
    const f = new Fixture(kind);
    let throws = 1;
    const beforeFlush: Flush = (items) => {
      if (items.some(({ level }) => level === "bad") && throws-- > 0) throw new Error("no luck");
      return items;
    };
    const options = { retries: { max: 1 }, groupBy: ({ level }: Line) => level };
    const { batch, deliveries } = await start(f, beforeFlush, options);
    await f.run(batch.addBulk(lines("bad", "good")));
    await f.advance(60_000);
    const seen = deliveries.map(({ groupKey, attempt }) => [groupKey, attempt]);
    expect(seen).toEqual([
      ["good", 1],
      ["bad", 2],
    ]);
  });

  test("a throw does not cut the batch in two", async () => {
    const f = new Fixture(kind);
    const sizes: number[] = [];
    const beforeFlush: Flush = (items) => {
      sizes.push(items.length);
      throw new Error("never");
    };
    const { batch } = await start(f, beforeFlush, { onFailure: "bisect" });
    await f.run(batch.addBulk(lines("a", "b", "c")));
    await f.advance(1000);
    expect(sizes).toEqual([3]);
    const letters = await f.run(batch.deadLetters.list());
    expect(letters.map(({ error }) => error.message)).toEqual(["never", "never", "never"]);
    expect(letters.map(({ item }) => item)).toEqual(lines("a", "b", "c"));
  });

  test.each([
    ["nothing", () => undefined, "HOOK_INVALID"],
    ["more than fits", () => lines("a", "b", "c", "d", "e"), "HOOK_INVALID"],
    ["what cannot be stored", () => [{ level: () => undefined }], "ITEM_INVALID"],
    ["a huge item", () => [{ level: "x".repeat(300_000), n: 0 }], "ITEM_TOO_LARGE"],
  ])("returning %s is an error of that batch", async (_what, made, code) => {
    const f = new Fixture(kind);
    const { batch, deliveries } = await start(f, made);
    await f.run(batch.addBulk(lines("a")));
    await f.advance(1000);
    const [letter] = await f.run(batch.deadLetters.list());
    expect(letter).toMatchObject({ item: { level: "a", n: 0 }, error: { code } });
    expect(letter?.error.message).toContain('hooks.beforeFlush of "logs"');
    expect(deliveries).toEqual([]);
  });

  test("the timeout holds for it", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { batch } = await start(f, async () => hold.wait(), { timeout: 500 });
    await f.run(batch.add({ level: "a", n: 0 }));
    await f.advance(2000);
    const [letter] = await f.run(batch.deadLetters.list());
    expect(letter?.error.code).toBe("HANDLER_TIMEOUT");
  });

  test("a crash before its result is stored has another process call it again", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const first = await start(f, async (items) => {
      await hold.wait();
      return items;
    });
    await f.run(first.batch.addBulk(lines("a", "b")));
    await f.advance(1000);
    expect(hold.waiting).toBe(1);
    first.process.kill();
    const second = await start(f, (items) => items.slice(1));
    await f.advance(30_000);
    expect(second.deliveries).toMatchObject([{ items: [{ level: "b" }], attempt: 1 }]);
    expect(first.deliveries).toEqual([]);
  });

  test("a crash after its result is stored leaves another process the same items", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { deliveries, handler } = recorder<Line>(f.clock, () => hold.wait());
    const first = await start(f, (items) => items.slice(0, 1), { handler });
    await f.run(first.batch.addBulk(lines("a", "b")));
    await f.advance(1000);
    expect(hold.waiting).toBe(1);
    first.process.kill();
    const second = await start(f, () => lines("other"));
    await f.advance(30_000);
    const [{ id, items, itemIds }] = deliveries as [(typeof deliveries)[number]];
    expect(second.deliveries).toMatchObject([{ id, items, itemIds }]);
    expect(items).toEqual(lines("a"));
  });

  test("who was taken for dead meanwhile stores nothing and runs no handler", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const first = await start(f, async () => {
      await hold.wait();
      return lines("stale");
    });
    await f.run(first.batch.add({ level: "a", n: 0 }));
    await f.advance(1000);
    first.process.freeze();
    const other = new Hold();
    const { deliveries, handler } = recorder<Line>(f.clock, () => other.wait());
    await start(f, (items) => items, { handler });
    await f.advance(30_000);
    expect(deliveries).toHaveLength(1);
    first.process.thaw();
    hold.releaseAll();
    await f.advance(1000);
    other.releaseAll();
    await f.advance(60_000);
    expect(first.deliveries).toEqual([]);
    expect(deliveries.map(({ items }) => items[0]?.level)).toEqual(["a"]);
  });

  test.each(["before", "busy", "after"] as const)(
    "its result is stored when the storage fails %s the call",
    async (fail) => {
      const f = new Fixture(kind);
      let calls = 0;
      const { process, batch, deliveries } = await start(f, (items) => {
        calls++;
        return items.slice(1);
      });
      process.faults = ({ method, nth }) =>
        method === "prepare" && nth <= 2 ? { fail } : undefined;
      await f.run(batch.addBulk(lines("a", "b")));
      await f.advance(5000);
      expect(deliveries).toMatchObject([{ items: [{ level: "b" }], attempt: 1 }]);
      expect(calls).toBe(1);
    },
  );

  test("stop gives a batch back whose hook is still at work", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const first = await start(f, async () => hold.wait());
    await f.run(first.batch.add({ level: "a", n: 0 }));
    await f.advance(1000);
    await f.runFor(2000, first.process.bw.stop({ graceMs: 1000 }));
    const second = await start(f, (items) => items);
    await f.advance(0);
    expect(second.deliveries).toMatchObject([{ items: [{ level: "a" }], attempt: 1 }]);
  });

  test("without the hook nothing is asked of the storage", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<Line>(f.clock);
    const { process, batch } = await f.started((bw) => bw.batch<Line>({ ...LIMITS, handler }));
    await f.run(batch.add({ level: "a", n: 0 }));
    await f.advance(1000);
    expect(deliveries).toHaveLength(1);
    expect(process.count("prepare")).toBe(0);
  });

  test("it works for batches that are kept in memory only", async () => {
    const f = new Fixture(kind);
    const beforeFlush: Flush = (items) => items.toReversed().slice(0, 1);
    const { batch, deliveries } = await start(f, beforeFlush, { persist: false });
    const added = await f.run(batch.addBulk(lines("a", "b")));
    await f.advance(1000);
    expect(deliveries).toMatchObject([{ items: [{ level: "b" }], itemIds: [added[1]?.id] }]);
  });
});

test("its items are of the type of the batch, also behind a schema", () => {
  const bw = new Batchwork({ storage: memory() });
  const handler = (): void => undefined;
  const batch = bw.batch<Line>({
    ...LIMITS,
    handler,
    hooks: {
      beforeFlush: (items, groupKey) => {
        expectTypeOf(items).toEqualTypeOf<Line[]>();
        expectTypeOf(groupKey).toEqualTypeOf<string | undefined>();
        return items.filter(({ level }) => level !== "debug");
      },
    },
  });
  expect(batch.name).toBe("logs");
  // @ts-expect-error -- these are no lines
  bw.batch<Line>({ ...LIMITS, name: "other", handler, hooks: { beforeFlush: () => [1] } });
  const wrong = { ...LIMITS, name: "wrong", handler, hooks: { beforeFlush: "filter" } };
  expect(() => bw.batch(wrong as never)).toThrow("hooks.beforeFlush");
});
