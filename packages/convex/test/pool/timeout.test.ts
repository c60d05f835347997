/** Attempts that take longer than they may. */
import { expect, test } from "vitest";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import { watched } from "./app/watched.js";
import { isIdle, jobs, stage } from "./fixture.js";

useVirtualTime();

const OFTEN = { maxAttempts: 3, initialBackoffMs: 100, base: 1 };

test("an action that takes too long is tried again, and what it returns late changes nothing", async () => {
  const at = await stage({ actionTimeoutMs: 1000 });
  await at.mutate((ctx) =>
    at.pool.enqueueAction(
      ctx,
      jobs.work,
      { name: "slow", ms: 5000 },
      { retry: OFTEN, onComplete: jobs.ended },
    ),
  );
  const took = await advanceUntil(async () => (await at.own("ended")).length > 0);
  expect(took).toBeLessThan(5000);
  expect(watched.started).toEqual(["slow", "slow", "slow"]);
  await advance(20_000);
  // All three came to their end, after theirs had been recorded.
  expect(watched.done).toHaveLength(3);
  expect(await at.own("ended")).toMatchObject([
    { result: { kind: "failed", error: "It took longer than 1000 ms, and was given up." } },
  ]);
  expect(await isIdle(at)).toBe(true);
});

test("an action without retries that takes too long fails, and the others are not held up", async () => {
  const at = await stage({ maxParallelism: 1, actionTimeoutMs: 1000 });
  await at.mutate((ctx) =>
    at.pool.enqueueActionBatch(
      ctx,
      jobs.work,
      [
        { name: "slow", ms: 60_000 },
        { name: "quick", ms: 900 },
      ],
      { onComplete: jobs.ended },
    ),
  );
  await advance(5000);
  expect(await at.own("ended")).toMatchObject([
    { result: { kind: "failed" } },
    { result: { kind: "success", returnValue: "QUICK" } },
  ]);
});

test("a mutation has no such limit: it commits or it does not", async () => {
  const at = await stage({ actionTimeoutMs: 1 });
  await at.mutate((ctx) =>
    at.pool.enqueueMutation(ctx, jobs.write, { name: "a" }, { onComplete: jobs.ended }),
  );
  await advance(1000);
  expect(await at.own("ended")).toMatchObject([{ result: { kind: "success" } }]);
});
