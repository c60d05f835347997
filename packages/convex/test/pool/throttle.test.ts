/** Throttled pools: how many items begin in any span of time. */
import { expect, test, vi } from "vitest";
import { Workpool } from "../../src/client/pool.js";
import { permitAt, permitsOf, withStarts, type Start } from "../../src/pool/throttle.js";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import { watched } from "./app/watched.js";
import { components, isIdle, jobs, names, stage } from "./fixture.js";

useVirtualTime();

/** The most that began in any `ms`. */
function mostIn(ms: number): number {
  const times = watched.spans.map(({ from }) => from);
  return Math.max(
    ...times.map((from) => times.filter((at) => at >= from && at < from + ms).length),
  );
}

test("no more items begin in any span than the throttle allows, and all begin in the end", async () => {
  const at = await stage({ maxParallelism: 50, throttle: { max: 10, duration: 1000 } });
  for (let call = 0; call < 5; call++) {
    const some = names(19, `${call}.`).map((one) => ({ ...one, ms: 20 }));
    await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, some));
    await advance(330);
  }
  const took = await advanceUntil(() => watched.done.length === 95);
  expect(mostIn(900)).toBeLessThanOrEqual(10);
  expect(took).toBeLessThanOrEqual(11_000);
  await advanceUntil(() => isIdle(at));
  expect(new Set(watched.started).size).toBe(95);
  for (const table of ["work", "chunks"]) expect(await at.rows(table)).toEqual([]);
});

test("throttled mutations run in groups no larger than what may begin", async () => {
  const at = await stage({ throttle: { max: 3, duration: 10_000 } });
  await at.mutate((ctx) => at.pool.enqueueMutationBatch(ctx, jobs.write, names(7)));
  await advance(1000);
  expect(await at.own("ran")).toHaveLength(3);
  await advance(10_000);
  expect(await at.own("ran")).toHaveLength(6);
  await advance(10_000);
  expect(await at.own("ran")).toHaveLength(7);
});

test("a throttled pool sleeps until it may go on, and holds up no other pool", async () => {
  const at = await stage({ throttle: { max: 1, duration: 3_600_000 } });
  const other = new Workpool(components.pool, { pool: "other" });
  await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, names(2)));
  await advance(1000);
  expect(watched.done).toEqual(["a1"]);
  expect(await isIdle(at)).toBe(true);
  await at.mutate((ctx) => other.enqueueActionBatch(ctx, jobs.work, names(5, "b")));
  await advance(1000);
  expect(watched.done).toHaveLength(6);
  await advance(3_600_000);
  expect(watched.done).toHaveLength(7);
  expect(await at.rows("work")).toEqual([]);
});

test("retries count, and wait for the throttle", async () => {
  const at = await stage({ throttle: { max: 1, duration: 60_000 } });
  const retry = { maxAttempts: 3, initialBackoffMs: 10, base: 2 };
  const some = { name: "a", fail: "until third" };
  await at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, some, { retry }));
  await advance(5000);
  expect(watched.started).toHaveLength(1);
  await advance(130_000);
  expect(watched.done).toEqual(["a"]);
  expect(mostIn(60_000)).toBe(1);
});

test("a throttle set at run time wins, until it is taken back", async () => {
  const at = await stage({ throttle: { max: 1, duration: 3_600_000 } });
  const { config } = components.pool;
  const update = (throttle: { max: number; duration: number } | null): Promise<unknown> =>
    at.mutate((ctx) => ctx.runMutation(config.update, { throttle }));
  await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, names(50)));
  await advance(1000);
  expect(watched.done).toHaveLength(1);
  await update({ max: 21, duration: 3_600_000 });
  await advance(1000);
  expect(watched.done).toHaveLength(21);
  await update(null);
  await advance(1000);
  expect(watched.done).toHaveLength(21);
  expect(await at.t.query((ctx) => ctx.runQuery(config.get, {}))).toMatchObject({
    pools: [{ pool: "", throttle: { max: 1 } }],
  });
});

test("a throttle that is none is refused by its field", async () => {
  const at = await stage({ throttle: { max: 0, duration: 1000 } });
  const enqueued = at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, { name: "a" }));
  await expect(enqueued).rejects.toThrow(/throttle\.max.*not 0/v);
});

test("two throttles of one pool: the first stays, and the second is reported once", async () => {
  const warn = vi.spyOn(console, "warn").mockReturnValue(undefined);
  const at = await stage({ throttle: { max: 5, duration: 1000 } });
  const other = new Workpool(components.pool, { throttle: { max: 50, duration: 1000 } });
  for (let call = 0; call < 3; call++) {
    await at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, { name: "a" }));
    await at.mutate((ctx) => other.enqueueAction(ctx, jobs.work, { name: "b" }));
  }
  const warnings = warn.mock.calls.map(String);
  expect(warnings).toHaveLength(1);
  expect(await at.rows("gate")).toMatchObject([
    { pools: [{ declared: { throttle: { max: 5 } } }] },
  ]);
  warn.mockRestore();
});

test("the window forgets what is past, merges what is near, and survives a clock set back", () => {
  const throttle = { max: 10, duration: 1000 };
  const throttles = new Map([["", throttle]]);
  let starts: Start[] = [];
  for (let now = 10_000; now < 12_000; now += 7) {
    starts = withStarts(throttles, starts, new Map([["", 1]]), now);
    expect(starts.length).toBeLessThanOrEqual(22);
  }
  expect(permitsOf(throttle, "", starts, 11_999)).toBe(0);
  expect(permitAt(throttle, "", starts, 11_999)).toBeGreaterThan(11_999);
  expect(permitsOf(throttle, "", starts, 13_000)).toBe(10);
  expect(permitsOf(throttle, "", starts, 5000)).toBe(10);
});
