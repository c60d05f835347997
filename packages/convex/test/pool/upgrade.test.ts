/** A deploy of this version over rows of the version before, with work in flight. */
import path from "node:path";
import { expect, test } from "vitest";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import { restore } from "../restore.js";
import { watched } from "./app/watched.js";
import { isIdle, jobs, names, stage, type Stage } from "./fixture.js";

useVirtualTime();

const TABLES = "chunks executors work callbacks groups results loop parking gate".split(" ");

function deployOver({ inside }: Stage, name: string): Promise<void> {
  const file = path.join(import.meta.dirname, "upgrade", `${name}.json`);
  return restore("pool", inside, file, TABLES);
}

async function endsOf({ own }: Stage): Promise<Record<string, number>> {
  const kinds: Record<string, number> = {};
  for (const { result } of await own("ended")) {
    const { kind } = result as { kind: string };
    kinds[kind] = (kinds[kind] ?? 0) + 1;
  }
  return kinds;
}

test("work in flight under the version before ends under this one, every item once", async () => {
  const at = await stage({ maxParallelism: 3 });
  await deployOver(at, "busy");
  expect(await at.rows("work")).toHaveLength(7);
  await advance(600_000);
  await advanceUntil(() => isIdle(at));
  // Waiting 30, running 4, delayed 1, mutations 20, a callback; one is out of attempts.
  expect(await endsOf(at)).toEqual({ success: 56, failed: 1 });
  const ids = (await at.own("ended")).map(({ workId }) => workId);
  expect(new Set(ids).size).toBe(57);
  expect(new Set((await at.own("ran")).map(({ name }) => name)).size).toBe(20);
  expect(watched.started.filter((name) => name === "again")).toHaveLength(3);
  for (const table of ["work", "executors", "callbacks"]) expect(await at.rows(table)).toEqual([]);
  expect(await at.rows("dead")).toHaveLength(1);
  await advance(8 * 24 * 3_600_000);
  for (const table of ["chunks", "results", "dead"]) expect(await at.rows(table)).toEqual([]);
});

test("what this version adds works on the rows of the version before", async () => {
  const at = await stage({ maxParallelism: 3 });
  await deployOver(at, "busy");
  const options = { serialKey: "k", onCompleteBatch: jobs.endedMany };
  await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, names(5, "new"), options));
  await at.mutate((ctx) => at.pool.pause(ctx));
  await advance(60_000);
  expect(watched.started.some((name) => name.startsWith("new"))).toBe(false);
  expect(await at.t.query((ctx) => at.pool.summary(ctx))).toMatchObject({ state: "idle" });
  await at.mutate((ctx) => at.pool.resume(ctx));
  await advance(600_000);
  await advanceUntil(() => isIdle(at));
  expect(await at.own("ended")).toHaveLength(62);
});

test("a pool that slept under the version before wakes by its timer, and by a call", async () => {
  const at = await stage();
  await deployOver(at, "idle");
  await at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, { name: "now" }));
  await advance(5000);
  expect(watched.done).toEqual(["now"]);
  await advance(60_000);
  expect(watched.done).toEqual(["now", "later"]);
  expect(await isIdle(at)).toBe(true);
});

test("the timer of a pool that slept under the version before rings under this one", async () => {
  const at = await stage();
  await deployOver(at, "idle");
  await advance(60_000);
  expect(watched.done).toEqual(["later"]);
  expect(await isIdle(at)).toBe(true);
});
