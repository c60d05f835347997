/** User functions that share a transaction, and what each of them may use of it. */
import { expect, test } from "vitest";
import { Meter } from "../meter.js";
import { advanceUntil, useVirtualTime } from "../stage.js";
import { isIdle, jobs, names, stage, type Stage } from "./fixture.js";

useVirtualTime();

const pool = import.meta.glob(["../../src/pool/*.ts", "!**/convex.config.ts"]);

async function resultsOf({ own }: Stage): Promise<unknown[]> {
  return (await own("ended")).map(({ result }) => (result as { kind: string }).kind);
}

test("a mutation too large for company runs in a transaction of its own, and succeeds", async () => {
  const at = await stage();
  const sizes = [{ rows: 1 }, { rows: 15 }, { rows: 1 }].map((one) => ({ ...one, name: "a" }));
  await at.mutate((ctx) =>
    at.pool.enqueueMutationBatch(ctx, jobs.writeMany, sizes, { onComplete: jobs.ended }),
  );
  await advanceUntil(() => isIdle(at));
  expect(await resultsOf(at)).toEqual(["success", "success", "success"]);
  expect(await at.own("ran")).toHaveLength(17);
});

test("a mutation too large for any transaction fails alone, and its end is recorded", async () => {
  const at = await stage();
  const sizes = [{ rows: 1 }, { rows: 17 }, { rows: 1 }].map((one) => ({ ...one, name: "a" }));
  await at.mutate((ctx) =>
    at.pool.enqueueMutationBatch(ctx, jobs.writeMany, sizes, { onComplete: jobs.ended }),
  );
  await advanceUntil(() => isIdle(at));
  expect(await resultsOf(at)).toEqual(["success", "failed", "success"]);
  expect(await at.own("ran")).toHaveLength(2);
});

test("with isolate, each callback of an action has a settlement of its own", async () => {
  await Meter.over("pool", pool);
  const settlements = async (isolate: boolean): Promise<number> => {
    const at = await stage();
    const meter = Meter.start();
    await at.mutate((ctx) => {
      const options = { onComplete: jobs.ended, isolate };
      return at.pool.enqueueActionBatch(ctx, jobs.work, names(20), options);
    });
    await advanceUntil(() => isIdle(at));
    expect(await resultsOf(at)).toHaveLength(20);
    return meter.counts.get("pool/runs:settle") ?? 0;
  };
  expect(await settlements(true)).toBeGreaterThanOrEqual(20);
  expect(await settlements(false)).toBeLessThanOrEqual(4);
});
