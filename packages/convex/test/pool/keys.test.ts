/** Serial keys: work of a key runs one after another, in order, and holds up nobody else's. */
import { expect, test } from "vitest";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import { watched } from "./app/watched.js";
import { crash, isIdle, jobs, names, stage } from "./fixture.js";

useVirtualTime();

const RETRY = { maxAttempts: 3, initialBackoffMs: 1000, base: 2 };

/** Whether no two of those whose names begin so ran side by side. */
function isSerial(letter: string): boolean {
  const spans = watched.spans.filter(({ name }) => name.startsWith(letter));
  return spans.every((one, i) => i === 0 || (spans[i - 1]?.to ?? Infinity) <= one.from);
}

test("work of one key runs one after another in the order of its commits, and keys side by side", async () => {
  const at = await stage({ maxParallelism: 10 });
  for (let call = 0; call < 20; call++) {
    for (const key of ["a", "b", "c"]) {
      const args = { name: `${key}${call}`, ms: 30 };
      await at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, args, { serialKey: key }));
    }
    await advance(11);
  }
  await advanceUntil(() => isIdle(at));
  expect(await at.rows("work")).toEqual([]);
  for (const key of ["a", "b", "c"]) {
    const own = watched.started.filter((name) => name.startsWith(key));
    expect(own).toEqual(Array.from({ length: 20 }, (_, call) => `${key}${call}`));
    expect(isSerial(key)).toBe(true);
  }
  expect(watched.most).toBe(3);
});

test("a batch of one key runs in its order, and other work is not held up by it", async () => {
  const at = await stage({ maxParallelism: 10 });
  const slow = names(60, "k").map((one) => ({ ...one, ms: 100 }));
  await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, slow, { serialKey: "k" }));
  await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, names(100, "z")));
  await advance(1500);
  expect(watched.done.filter((name) => name.startsWith("z"))).toHaveLength(100);
  await advanceUntil(() => isIdle(at));
  expect(watched.started.filter((name) => name.startsWith("k"))).toEqual(
    slow.map(({ name }) => name),
  );
  expect(isSerial("k")).toBe(true);
  for (const table of ["work", "chunks", "executors"]) expect(await at.rows(table)).toEqual([]);
});

test("an item that is tried again holds up those of its key behind it, and no other", async () => {
  const at = await stage();
  const some = [{ name: "k1" }, { name: "k2", fail: "until third" }, { name: "k3" }];
  const retry = { retry: RETRY, serialKey: "k" };
  await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, some, retry));
  await at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, { name: "k4" }, retry));
  await at.mutate((ctx) =>
    at.pool.enqueueAction(ctx, jobs.work, { name: "other" }, { serialKey: "o" }),
  );
  await advance(300);
  expect(watched.done).toEqual(["k1", "other"]);
  await advanceUntil(() => isIdle(at));
  await advance(20_000);
  await advanceUntil(() => isIdle(at));
  expect(watched.started).toEqual(["k1", "k2", "other", "k2", "k2", "k3", "k4"].toSorted(byFirst));
  expect(watched.done).toEqual(["k1", "other", "k2", "k3", "k4"]);
  expect(await at.rows("work")).toEqual([]);
  expect(await at.rows("chunks")).toEqual([]);
});

/** As it was started; "other" is of another key, so its place does not matter. */
function byFirst(a: string, b: string): number {
  return watched.started.indexOf(a) - watched.started.indexOf(b);
}

test("an item that fails for good lets the next of its key go", async () => {
  const at = await stage();
  const some = [{ name: "k1", fail: "always" }, { name: "k2" }];
  for (const one of some) {
    await at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, one, { serialKey: "k" }));
  }
  await advanceUntil(() => isIdle(at));
  expect(watched.done).toEqual(["k2"]);
});

test("mutations of one key run in order, also over several transactions", async () => {
  const at = await stage({ maxParallelism: 20 });
  const all = names(40, "m");
  await at.mutate((ctx) => at.pool.enqueueMutationBatch(ctx, jobs.write, all, { serialKey: "m" }));
  await advanceUntil(() => isIdle(at));
  expect((await at.own("ran")).map(({ name }) => name)).toEqual(all.map(({ name }) => name));
});

test("what is delayed gets its place among those of its key when it is due", async () => {
  const at = await stage();
  await at.mutate(async (ctx) => {
    const late = { serialKey: "k", runAfter: 5000 };
    await at.pool.enqueueAction(ctx, jobs.work, { name: "k late", ms: 100 }, late);
    await at.pool.enqueueAction(ctx, jobs.work, { name: "k now", ms: 6500 }, { serialKey: "k" });
    await at.pool.enqueueAction(ctx, jobs.work, { name: "k then" }, { serialKey: "k" });
  });
  await advance(30_000);
  expect(watched.done).toEqual(["k now", "k then", "k late"]);
  expect(isSerial("k")).toBe(true);
  expect(await isIdle(at)).toBe(true);
});

test("a canceled item of a key lets the next one go, wherever it waited", async () => {
  const at = await stage();
  const ids = [];
  for (const name of ["k1", "k2", "k3"]) {
    ids.push(
      await at.mutate((ctx) =>
        at.pool.enqueueAction(ctx, jobs.work, { name, ms: 1000 }, { serialKey: "k" }),
      ),
    );
    await advance(200);
  }
  const [, second] = ids;
  await at.mutate((ctx) => at.pool.cancel(ctx, second as never));
  await advanceUntil(() => isIdle(at));
  expect(watched.done).toEqual(["k1", "k3"]);
});

test("after a crash the key goes on with what was running, and then with the next", async () => {
  const at = await stage();
  const options = { serialKey: "k", retry: RETRY };
  const first = { name: "k1", times: 1 };
  await at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.hang, first, options));
  await advance(200);
  await at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, { name: "k2" }, options));
  await advance(200);
  await crash(at);
  await advanceUntil(() => isIdle(at));
  expect(watched.started).toEqual(["k1", "k1", "k2"]);
  expect(await at.rows("work")).toEqual([]);
});

test("three hundred rows of one key do not keep the loop from work behind them", async () => {
  const at = await stage({ maxParallelism: 2 });
  for (let call = 0; call < 300; call++) {
    await at.mutate((ctx) =>
      at.pool.enqueueAction(ctx, jobs.work, { name: `k${call}`, ms: 1000 }, { serialKey: "k" }),
    );
  }
  await at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, { name: "z" }));
  await advance(3000);
  expect(watched.done).toContain("z");
  expect(isSerial("k")).toBe(true);
});

test("a serial key that is too long for an index is refused with its length", async () => {
  const at = await stage();
  const serialKey = "x".repeat(513);
  await expect(
    at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, { name: "a" }, { serialKey })),
  ).rejects.toThrow(/serialKey has 513 characters/v);
});
