/** `onCompleteBatch`: one callback for all that ended together. */
import { expect, test } from "vitest";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import { watched } from "./app/watched.js";
import { isIdle, jobs, names, stage } from "./fixture.js";

useVirtualTime();

test("a callback that takes an array is called once per settlement, with every item once", async () => {
  const at = await stage({ maxParallelism: 50 });
  const options = { onCompleteBatch: jobs.endedMany, context: 7 };
  const ids = await at.mutate((ctx) =>
    at.pool.enqueueActionBatch(ctx, jobs.work, names(100), options),
  );
  await advanceUntil(() => isIdle(at));
  const ended = await at.own("ended");
  expect(ended).toHaveLength(100);
  expect(new Set(ended.map(({ workId }) => workId))).toEqual(new Set(ids));
  expect(ended[0]).toMatchObject({ context: 7, result: { kind: "success" } });
  expect(watched.arrays.length).toBeLessThanOrEqual(6);
});

test("mutations that ended in one transaction are told of in one call", async () => {
  const at = await stage();
  const options = { onCompleteBatch: jobs.endedMany };
  await at.mutate((ctx) => at.pool.enqueueMutationBatch(ctx, jobs.write, names(16), options));
  await advanceUntil(() => isIdle(at));
  expect(watched.arrays).toEqual([16]);
});

test("an item that an array's callback cannot take is told apart, and the others are told once", async () => {
  const at = await stage();
  const some = names(15);
  some.splice(6, 0, { name: "poison" });
  const options = { onCompleteBatch: jobs.endedMany };
  await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, some, options));
  await advance(1000);
  expect(await at.own("ended")).toHaveLength(15);
  expect(await at.rows("callbacks")).toMatchObject([{ array: true, attempts: 1 }]);
  watched.thrown = 100;
  await advance(60_000);
  expect(await at.own("ended")).toHaveLength(16);
  expect(watched.arrays.at(-1)).toBe(1);
  expect(await at.rows("callbacks")).toEqual([]);
});

test("kinds of ends that are excluded are in no array", async () => {
  const at = await stage();
  const some = names(4).map((one, i) => (i === 0 ? { ...one, fail: "always" } : one));
  await at.mutate((ctx) =>
    at.pool.enqueueActionBatch(ctx, jobs.work, some, {
      onCompleteBatch: jobs.endedMany,
      onCompleteExcludeKinds: ["success"],
    }),
  );
  await advanceUntil(() => isIdle(at));
  expect(watched.arrays).toEqual([1]);
});

test("canceled work is told of through the array's callback too", async () => {
  const at = await stage({ maxParallelism: 0 });
  const options = { onCompleteBatch: jobs.endedMany };
  const ids = await at.mutate((ctx) =>
    at.pool.enqueueActionBatch(ctx, jobs.work, names(3), options),
  );
  for (const id of ids) await at.mutate((ctx) => at.pool.cancel(ctx, id));
  await advance(5000);
  expect(await at.own("ended")).toHaveLength(3);
});

test("both callbacks at once are refused", async () => {
  const at = await stage();
  const options = { onComplete: jobs.ended, onCompleteBatch: jobs.endedMany };
  await expect(
    at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, { name: "a" }, options)),
  ).rejects.toThrow(/not both/v);
});
