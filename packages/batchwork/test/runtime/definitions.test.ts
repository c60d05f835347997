/** `version`: what processes with other definitions of one name agree on. */
import { describe, expect, test } from "vitest";

import type { Batch } from "../../src/runtime/accumulator.ts";
import type { BatchOptions } from "../../src/runtime/batch-options.ts";
import type { Batchwork } from "../../src/runtime/engine.ts";
import { Fixture, Hold, numbers, outcomeOf, recorder, STORAGES } from "./fixture.ts";

const OPTIONS = {
  name: "orders",
  maxSize: 1,
  maxWaitMs: 0,
  handler: () => undefined,
} satisfies BatchOptions<number>;

function defining(options: Partial<BatchOptions<number>>): (bw: Batchwork) => Batch<number> {
  return (bw) => bw.batch<number>({ ...OPTIONS, ...options });
}

/** Long enough for every process to have looked at the definitions again. */
const LOOK_MS = 60_000;

const THROTTLED = { throttle: { max: 1, duration: 3_600_000 } };

describe.each(STORAGES)("definitions of one name on %s storage", (kind) => {
  test("that are the same say nothing", async () => {
    const f = new Fixture(kind);
    const one = await f.started(defining(THROTTLED));
    const two = await f.started(defining(THROTTLED));
    await f.advance(LOOK_MS);
    expect([...one.process.logged("warn"), ...two.process.logged("warn")]).toEqual([]);
  });

  test("the higher version counts in processes that are started later", async () => {
    const f = new Fixture(kind);
    await f.started(defining({ version: 2, maxPending: { items: 1 } }));
    const old = await f.started(defining({ version: 1, maxPending: { items: 100 } }));
    await f.run(old.batch.pause());
    await f.run(old.batch.add(1));
    expect(await outcomeOf(f.run(old.batch.add(2)))).toBe("QUEUE_FULL");
    expect(old.process.logs.filter(({ level }) => level === "warn")).toMatchObject([
      { fields: { name: "orders", version: 1, otherVersion: 2, options: ["maxPending"] } },
    ]);
  });

  test("a limit that comes up while adds are under way refuses none of them", async () => {
    const f = new Fixture(kind);
    await f.started(defining({ version: 2, maxSize: 500, maxPending: { items: 1 } }));
    const old = f.process();
    const batch = defining({ maxSize: 500 })(old.bw);
    const other = old.bw.batch<number>({ ...OPTIONS, name: "other", maxSize: 500 });
    // Taken in before the storage was asked what the definition is.
    const early = [batch.addBulk(numbers(3)), other.addBulk(numbers(3))];
    await f.run(Promise.all(early));
    expect(await outcomeOf(f.run(batch.add(1)))).toBe("QUEUE_FULL");
    await f.run(other.add(1));
  });

  test("the higher version counts in processes that run, and they say so once", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const old = await f.started(defining({ handler }));
    const fresh = await f.started(defining({ version: 2, ...THROTTLED, handler }));
    await f.advance(3 * LOOK_MS);
    expect(old.process.logged("warn")).toHaveLength(1);
    expect(fresh.process.logged("warn")).toHaveLength(0);
    await f.run(fresh.bw.stop());
    await f.run(old.batch.addBulk(numbers(5)));
    await f.advance(1000);
    expect(deliveries).toHaveLength(1);
  });

  test("of equal versions the latest counts, everywhere, and it says so", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const old = await f.started(defining({ ...THROTTLED, handler }));
    const fresh = await f.started(defining({ handler }));
    expect(fresh.process.logged("warn")).toHaveLength(1);
    await f.advance(LOOK_MS);
    expect(old.process.logged("warn")).toHaveLength(1);
    await f.run(fresh.bw.stop());
    await f.run(old.batch.addBulk(numbers(5)));
    await f.advance(1000);
    expect(deliveries).toHaveLength(5);
  });

  test("a group limit of a newer version holds in older processes", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const grouped = { groupBy: () => "g", handler: (): Promise<void> => hold.wait() };
    const old = await f.started(defining({ ...grouped, groupConcurrency: 4 }));
    await f.started(defining({ ...grouped, groupConcurrency: 2, version: 3, concurrency: 1 }));
    await f.advance(LOOK_MS);
    await f.run(old.batch.addBulk(numbers(10)));
    await f.advance(2000);
    expect(hold.waiting).toBe(2);
    hold.releaseAll();
  });

  test("maxSize and the like stay each process's own", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const old = await f.started(defining({ maxSize: 2, handler }));
    const fresh = await f.started(defining({ maxSize: 9, version: 2 }));
    await f.run(fresh.bw.stop());
    await f.run(old.batch.addBulk(numbers(4)));
    await f.advance(LOOK_MS);
    expect(deliveries.map(({ items }) => items.length)).toEqual([2, 2]);
    expect(old.process.logged("warn")).toEqual([]);
  });

  test("a storage that does not answer is asked again", async () => {
    const f = new Fixture(kind);
    const old = await f.started(defining({}));
    await f.started(defining({ ...THROTTLED, version: 2 }));
    old.process.faults = ({ method }) => (method === "agreed" ? { fail: "before" } : undefined);
    await f.advance(LOOK_MS);
    expect(old.process.logged("warn")[0]).toMatch(/Asking for the definitions failed/);
    old.process.faults = () => undefined;
    await f.advance(LOOK_MS);
    expect(old.process.logged("warn").at(-1)).toMatch(/its definition counts here too/);
  });
});
