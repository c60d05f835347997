/** Work and callbacks that were given up: they are seen, run again, discarded, and expire. */
import { expect, test } from "vitest";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import { watched } from "./app/watched.js";
import { components, isIdle, jobs, names, stage, type Stage } from "./fixture.js";

useVirtualTime();

const DAY = 24 * 3_600_000;

const { dead } = components.pool;

async function failing(at: Stage, count: number): Promise<string[]> {
  const some = names(count).map((one) => ({ ...one, fail: "until third" }));
  const ids = await at.mutate((ctx) =>
    at.pool.enqueueActionBatch(ctx, jobs.work, some, { onComplete: jobs.ended }),
  );
  await advanceUntil(() => isIdle(at));
  return ids;
}

test("work that fails for good is a dead letter with its arguments, its error and its attempts", async () => {
  const at = await stage();
  const [id] = await failing(at, 1);
  expect(await at.t.query((ctx) => at.pool.deadLetters(ctx))).toMatchObject([
    {
      id,
      name: "jobs:work",
      args: { name: "a1", fail: "until third" },
      error: "not yet",
      attempts: 1,
      pool: "",
    },
  ]);
  expect(await at.t.query((ctx) => at.pool.explain(ctx, id as never))).toMatchObject({
    state: "dead",
    error: "not yet",
  });
});

test("a dead letter that is redriven runs under its id, as often as it takes, and is told of again", async () => {
  const at = await stage();
  const ids = await failing(at, 3);
  expect(await at.mutate((ctx) => at.pool.redrive(ctx, ids))).toBe(3);
  await advanceUntil(() => isIdle(at));
  expect(await at.rows("dead")).toHaveLength(3);
  expect(await at.mutate((ctx) => at.pool.redrive(ctx))).toBe(3);
  await advanceUntil(() => isIdle(at));
  expect(watched.done.toSorted()).toEqual(["a1", "a2", "a3"]);
  expect(await at.own("ended")).toHaveLength(9);
  expect(new Set((await at.own("ended")).map(({ workId }) => workId))).toEqual(new Set(ids));
  for (const table of ["dead", "work", "chunks"]) expect(await at.rows(table)).toEqual([]);
});

test("a dead letter that is discarded leaves nothing, and neighbours keep their payload", async () => {
  const at = await stage();
  const [first, second] = await failing(at, 2);
  expect(await at.mutate((ctx) => at.pool.discard(ctx, [first as string]))).toBe(1);
  expect(await at.rows("chunks")).toHaveLength(1);
  expect(await at.t.query((ctx) => at.pool.deadLetters(ctx))).toMatchObject([{ id: second }]);
  expect(await at.mutate((ctx) => at.pool.discard(ctx))).toBe(1);
  expect(await at.rows("chunks")).toEqual([]);
  expect(await at.mutate((ctx) => at.pool.discard(ctx, [first as string, "nothing"]))).toBe(0);
});

test("dead letters expire after a week by themselves, and after what was declared", async () => {
  const at = await stage();
  await failing(at, 30);
  await advance(6 * DAY);
  expect(await at.rows("dead")).toHaveLength(30);
  await advance(2 * DAY);
  expect(await at.rows("dead")).toEqual([]);
  expect(await at.rows("chunks")).toEqual([]);
  expect(await isIdle(at)).toBe(true);
});

test("with a ttl of 0 nothing is kept of work that failed", async () => {
  const at = await stage({ deadLetterTtl: 0 });
  await failing(at, 2);
  expect(await at.rows("dead")).toEqual([]);
  expect(await at.rows("chunks")).toEqual([]);
});

test("what is canceled is no dead letter", async () => {
  const at = await stage();
  const id = await at.mutate((ctx) =>
    at.pool.enqueueAction(ctx, jobs.work, { name: "a" }, { runAfter: 1000 }),
  );
  await at.mutate((ctx) => at.pool.cancel(ctx, id));
  await advanceUntil(() => isIdle(at));
  expect(await at.rows("dead")).toEqual([]);
});

test("mutations that throw are dead letters too, and their neighbours are not", async () => {
  const at = await stage();
  const some = names(20).map((one, i) => (i === 4 ? { ...one, fail: true } : one));
  await at.mutate((ctx) => at.pool.enqueueMutationBatch(ctx, jobs.write, some));
  await advanceUntil(() => isIdle(at));
  const letters = await at.t.query((ctx) => at.pool.deadLetters(ctx, { limit: 5 }));
  expect(letters).toMatchObject([{ error: "no a5", args: { name: "a5" } }]);
  expect(
    await at.t.query((ctx) => at.pool.deadLetters(ctx, { after: letters[0]?.at ?? 0 })),
  ).toEqual([]);
});

test("a payload is kept as long as one of its items is dead, and no longer", async () => {
  const at = await stage();
  const retry = { maxAttempts: 2, initialBackoffMs: 500, base: 2 };
  const some = names(10).map((one, i) => ({
    ...one,
    ms: i === 9 ? 3000 : 10,
    ...(i === 0 ? { fail: "until third" } : {}),
  }));
  await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, some, { retry }));
  await advanceUntil(() => isIdle(at));
  await advanceUntil(() => watched.done.length === 9);
  await advanceUntil(() => isIdle(at));
  expect(await at.rows("chunks")).toHaveLength(1);
  await at.mutate((ctx) => at.pool.discard(ctx));
  expect(await at.rows("chunks")).toEqual([]);
});

test("a payload goes with its last item, when a retry of it was over before the others", async () => {
  const at = await stage();
  const retry = { maxAttempts: 3, initialBackoffMs: 10, base: 1 };
  const some = [
    { name: "a", fail: "until third" },
    { name: "b", ms: 5000 },
  ];
  await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, some, { retry }));
  await advance(10_000);
  await advanceUntil(() => isIdle(at));
  expect(watched.done).toEqual(["a", "b"]);
  expect(await at.rows("chunks")).toEqual([]);
});

test("a callback that was given up is listed, redriven and discarded like work", async () => {
  const at = await stage();
  const options = { onComplete: jobs.ended, context: "throw" };
  await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, names(2), options));
  await advance(4 * 3_600_000);
  const list = (): Promise<{ id: string; workId: string; attempts: number }[]> =>
    at.t.query((ctx) => ctx.runQuery(dead.listCallbacks, {}));
  const [first, second] = await list();
  expect(first).toMatchObject({
    attempts: 10,
    error: "no callback",
    result: { returnValue: "A1" },
  });
  watched.thrown = 0;
  await at.mutate((ctx) => at.pool.redrive(ctx, [first?.id ?? ""]));
  await advance(1000);
  expect(watched.thrown).toBe(1);
  expect(await list()).toMatchObject([{ id: second?.id }]);
  await at.mutate((ctx) => at.pool.discard(ctx, [second?.id ?? ""]));
  expect(await list()).toEqual([]);
  await advance(4 * 3_600_000);
  expect(await list()).toHaveLength(1);
  await advance(8 * DAY);
  expect(await at.rows("callbacks")).toEqual([]);
});
