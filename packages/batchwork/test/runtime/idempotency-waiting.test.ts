/** A key that a transaction of somebody else's has used: only who wants that key waits. */
import { expect, onTestFinished, test } from "vitest";

import type { KeyedAnswer, KeyedAppend } from "../../src/core/keyed.ts";
import type { Batch } from "../../src/runtime/accumulator.ts";
import { Batchwork } from "../../src/runtime/engine.ts";
import { memory } from "../../src/storage/memory/index.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";
import { numbers, outcomeOf } from "./fixture.ts";

interface Engine {
  readonly clock: ManualClock;
  readonly bw: Batchwork;
  readonly batch: Batch<number>;
  /** Keys that transactions of others have used. */
  readonly taken: Set<string | null>;
  /** How often keyed items were appended. */
  readonly appends: () => number;
}

/** An engine on a storage on which others may hold keys. */
function engine(): Engine {
  const clock = new ManualClock();
  const inner = memory();
  const taken = new Set<string | null>();
  let appends = 0;
  const appendKeyed = async (append: KeyedAppend): Promise<KeyedAnswer[]> => {
    appends++;
    const busy = new Set(append.items.filter(({ key }) => taken.has(key)).map(({ call }) => call));
    const free = append.items.filter(({ call }) => !busy.has(call));
    const calls = [...new Set(free.map(({ call }) => call))];
    const items = free.map((item) => ({ ...item, call: calls.indexOf(item.call) }));
    const stored = await inner.appendKeyed({ ...append, items });
    const count = (append.items.at(-1)?.call ?? -1) + 1;
    return numbers(count).map((n) =>
      busy.has(n) ? { kind: "busy" } : (stored[calls.indexOf(n)] as KeyedAnswer),
    );
  };
  const storage = new Proxy<Storage>(inner, {
    get: (target, name) => {
      if (name === "appendKeyed") return appendKeyed;
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
  const bw = new Batchwork({ storage, clock });
  const batch = bw.batch<number>({
    name: "orders",
    maxSize: 500,
    maxWaitMs: 60_000,
    handler: () => undefined,
  });
  onTestFinished(async () => clock.run(bw.stop({ graceMs: 0 })));
  return { clock, bw, batch, taken, appends: () => appends };
}

async function isPending(clock: ManualClock, promise: Promise<unknown>): Promise<boolean> {
  let pending = true;
  const done = (): void => {
    pending = false;
  };
  promise.then(done, done);
  await clock.settle();
  return pending;
}

test("adds of other keys and without one go past it, flush too; then it is stored", async () => {
  const { clock, batch, taken } = engine();
  taken.add("taken");
  const waiting = batch.add(1, { idempotencyKey: "taken" });
  const behind = batch.addBulk([1, 2], { idempotencyKey: (n) => (n === 1 ? "taken" : "two") });
  const third = batch.add(2, { idempotencyKey: "two" });
  const beside = [
    batch.add(3, { idempotencyKey: "free" }),
    batch.add(4),
    batch.add(5, { idempotencyKey: "free too" }),
  ];
  const results = await clock.run(Promise.all(beside));
  expect(results.map(({ duplicate }) => duplicate)).toEqual([false, false, false]);
  await clock.advance(5000);
  for (const one of [waiting, behind, third]) expect(await isPending(clock, one)).toBe(true);
  expect(await clock.run(batch.getBufferSize())).toBe(3);
  taken.clear();
  await clock.advance(200);
  expect((await clock.run(waiting)).duplicate).toBe(false);
  expect((await clock.run(behind)).map(({ duplicate }) => duplicate)).toEqual([true, false]);
  expect((await clock.run(third)).duplicate).toBe(true);
  expect(await clock.run(batch.getBufferSize())).toBe(5);
});

test("it is tried again now and then, however many wait", async () => {
  const { clock, batch, taken, appends } = engine();
  for (const n of numbers(20)) taken.add(`key ${n}`);
  const waiting = numbers(20).map((n) => batch.add(n, { idempotencyKey: `key ${n}` }));
  await clock.advance(10_000);
  expect(appends()).toBeGreaterThan(100);
  // Each about every 50 ms.
  expect(appends()).toBeLessThan(20 * 400);
  taken.clear();
  await clock.advance(1000);
  const results = await clock.run(Promise.all(waiting));
  expect(results.every(({ duplicate }) => !duplicate)).toBe(true);
});

test("who has waited for 30 s is told that nothing was stored, and others get their turn", async () => {
  const { clock, batch, taken } = engine();
  taken.add("taken");
  const first = outcomeOf(batch.add(1, { idempotencyKey: "taken" }));
  const other = outcomeOf(batch.add(2, { idempotencyKey: "taken" }));
  await clock.advance(20_000);
  expect(await isPending(clock, first)).toBe(true);
  await clock.advance(30_000);
  expect(await clock.run(first)).toBe("STORAGE_BUSY");
  expect(await isPending(clock, other)).toBe(true);
  taken.clear();
  await clock.advance(200);
  expect(await clock.run(other)).toBe("fulfilled");
  expect((await clock.run(batch.add(2, { idempotencyKey: "taken" }))).duplicate).toBe(true);
});

test("stop does not wait for it", async () => {
  const { clock, bw, batch, taken } = engine();
  taken.add("taken");
  const waiting = outcomeOf(batch.add(1, { idempotencyKey: "taken" }));
  const behind = outcomeOf(batch.add(2, { idempotencyKey: "taken" }));
  await clock.advance(100);
  await clock.run(bw.stop());
  expect(await clock.run(waiting)).toBe("STORAGE_BUSY");
  expect(await clock.run(behind)).toBe("STORAGE_BUSY");
});
