/** An executor that dies before or after any call that it makes. */
import { expect, test } from "vitest";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import { tasks } from "./app/tasks.js";
import { crash, isIdle, jobs, names, stage, type Stage } from "./fixture.js";
import { hasDied, planDeath, type Death } from "./kill.js";

useVirtualTime();

const RETRY = { maxAttempts: 10, initialBackoffMs: 100, base: 2 };

/** Runs a workload in which one executor dies. False when it ended before that. */
async function survives(death: Death, enqueue: (at: Stage) => Promise<unknown>): Promise<boolean> {
  const at = await stage({ maxParallelism: 4, logLevel: "ERROR" });
  planDeath(death, (token) => crash(at, token));
  await enqueue(at);
  await advance(1000);
  await advanceUntil(() => isIdle(at));
  await advance(60_000);
  await advanceUntil(() => isIdle(at));
  const ended = (await at.own("ended")).map(({ workId }) => workId as string);
  // Every item ended exactly once, whatever died, and nothing is left of any.
  expect(new Set(ended).size).toBe(ended.length);
  expect(ended).toHaveLength(20);
  for (const table of ["work", "executors", "callbacks"]) expect(await at.rows(table)).toEqual([]);
  const dead = await at.rows("dead");
  expect(await at.rows("chunks")).toHaveLength(new Set(dead.map(({ chunk }) => chunk)).size);
  return !hasDied();
}

/** Dies at each of the first calls in turn, then at every third. Returns how many there were. */
async function everyStep(
  when: Death["when"],
  enqueue: (at: Stage) => Promise<unknown>,
): Promise<number> {
  for (let call = 1; call < 200; call += call < 12 ? 1 : 3) {
    if (await survives({ at: call, when }, enqueue)) return call - 1;
  }
  throw new Error("it never ends");
}

const withRetry = (at: Stage): Promise<unknown> =>
  at.mutate((ctx) => {
    const some = names(20).map((one) => ({ ...one, ms: 50 }));
    return at.pool.enqueueActionBatch(ctx, jobs.work, some, {
      retry: RETRY,
      onComplete: jobs.ended,
    });
  });

const once = (at: Stage): Promise<unknown> =>
  at.mutate((ctx) => {
    const some = names(20).map((one) => ({ ...one, ms: 50 }));
    return at.pool.enqueueActionBatch(ctx, jobs.work, some, { onComplete: jobs.ended });
  });

const keyed = (at: Stage): Promise<unknown> =>
  at.mutate(async (ctx) => {
    for (let key = 0; key < 4; key++) {
      const options = { retry: RETRY, onCompleteBatch: jobs.endedMany, serialKey: `${key}` };
      await at.pool.enqueueActionBatch(ctx, jobs.work, names(5, `${key}.`), options);
    }
  });

const handlers = (at: Stage): Promise<unknown> =>
  at.mutate((ctx) => {
    const options = { onComplete: jobs.ended, retry: RETRY };
    const some = names(20).map((args) => ({ name: "greet", args, options }));
    return tasks.enqueueBatch(ctx, some);
  });

test.for(["before", "after"] as const)(
  "a pool's executor may die %s any call that it makes: every item ends once",
  { timeout: 60_000 },
  async (when) => {
    expect(await everyStep(when, withRetry)).toBeGreaterThan(20);
  },
);

test.for(["before", "after"] as const)(
  "items without retries end once too when their executor dies %s a call",
  { timeout: 60_000 },
  async (when) => {
    expect(await everyStep(when, once)).toBeGreaterThan(20);
  },
);

test.for(["before", "after"] as const)(
  "items of serial keys end once when their executor dies %s a call",
  { timeout: 60_000 },
  async (when) => {
    expect(await everyStep(when, keyed)).toBeGreaterThan(20);
  },
);

test.for(["before", "after"] as const)(
  "handlers of a BatchWorkpool end once when their executor dies %s a call",
  { timeout: 60_000 },
  async (when) => {
    expect(await everyStep(when, handlers)).toBeGreaterThan(2);
  },
);
