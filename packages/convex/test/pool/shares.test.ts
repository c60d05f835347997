/** Several pools in one instance: what one does not use is the others'. */
import { expect, test } from "vitest";
import { Workpool } from "../../src/client/pool.js";
import { plan, type Head, type Lane } from "../../src/pool/plan.js";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import { watched } from "./app/watched.js";
import { components, isIdle, jobs, names, stage } from "./fixture.js";

useVirtualTime();

const SLOTS_MAX = { action: 32, inline: 0, mutation: 1 };

function head(pool: string, count: number, more: Partial<Head> = {}): Head {
  return { pool, priority: 0, type: "action", count, alone: false, serial: false, ...more };
}

function lane(pool: string, slots: number, more: Partial<Lane> = {}): Lane {
  return { pool, kind: "action", slots, outstanding: slots, wants: false, ...more };
}

const limits = { maxParallelism: 10, slotsMax: SLOTS_MAX, permits: new Map<string, number>() };

test("a pool alone has all of the room", () => {
  const { fresh, shares } = plan([head("a", 25)], [], limits);
  expect(fresh).toEqual([{ pool: "a", kind: "action", slots: 10 }]);
  expect(shares).toEqual([]);
});

test("pools that begin side by side get equal shares, and what is left over goes to who wants it", () => {
  const { fresh } = plan([head("a", 25), head("b", 2), head("a", 25)], [], limits);
  expect(fresh).toEqual([
    { pool: "a", kind: "action", slots: 5 },
    { pool: "b", kind: "action", slots: 2 },
  ]);
  const { fresh: more } = plan(
    [head("b", 2), head("a", 1, { alone: true }), head("a", 1, { alone: true })],
    [],
    limits,
  );
  expect(more).toHaveLength(3);
});

test("a pool that has all of the room is to give the others their share", () => {
  const { assigned, shares } = plan([head("b", 25)], [lane("a", 10)], limits);
  expect(assigned).toEqual([null]);
  expect(shares).toEqual([{ lane: 0, slots: 5 }]);
});

test("a run keeps one slot for what it has in stock, however many pools wait", () => {
  const heads = Array.from({ length: 20 }, (_, i) => head(`b${i}`, 5));
  const { shares } = plan(heads, [lane("a", 10)], limits);
  expect(shares).toEqual([{ lane: 0, slots: 1 }]);
});

test("a run of a pool beyond its share gets no more while another waits for its own", () => {
  const lanes = [lane("a", 8, { wants: true, outstanding: 0 }), lane("c", 2)];
  const { assigned } = plan([head("a", 25), head("b", 25)], lanes, limits);
  expect(assigned).toEqual([null, null]);
});

test("a pool that waits for its throttle claims no share", () => {
  const permits = new Map([["b", 0]]);
  const { shares, throttled } = plan([head("b", 5)], [lane("a", 10)], { ...limits, permits });
  expect([...throttled]).toEqual([0]);
  expect(shares).toEqual([]);
});

test("a parallelism that was lowered takes slots back from runs, the largest first", () => {
  const { shares } = plan([head("a", 5)], [lane("a", 2), lane("a", 8)], {
    ...limits,
    maxParallelism: 4,
  });
  expect(shares).toEqual([{ lane: 1, slots: 2 }]);
});

test("a pool with a long backlog leaves another its share as soon as some of it has ended", async () => {
  const at = await stage({ maxParallelism: 10 });
  const other = new Workpool(components.pool, { maxParallelism: 10, pool: "other" });
  const long = names(200).map((one) => ({ ...one, ms: 3100 }));
  for (let call = 0; call < 2; call++) {
    const some = long.slice(call * 100, call * 100 + 100);
    await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, some));
  }
  await advance(5000);
  expect(watched.most).toBe(10);
  const short = names(50, "b").map((one) => ({ ...one, ms: 100 }));
  await at.mutate((ctx) => other.enqueueActionBatch(ctx, jobs.work, short));
  const started = await advanceUntil(() => watched.started.some((name) => name.startsWith("b")));
  // Not when what the runs have in stock is done, which takes them twenty seconds.
  expect(started).toBeLessThanOrEqual(7000);
  const ended = await advanceUntil(
    () => watched.done.filter((name) => name.startsWith("b")).length === 50,
  );
  expect(ended).toBeLessThanOrEqual(4000);
  expect(watched.most).toBe(10);
  await advanceUntil(() => isIdle(at));
  expect(watched.done).toHaveLength(250);
});

test("a parallelism that is lowered holds for what runs already, once it has ended", async () => {
  const at = await stage({ maxParallelism: 10 });
  const all = names(100).map((one) => ({ ...one, ms: 3100 }));
  await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, all));
  await advance(1000);
  await at.mutate((ctx) => ctx.runMutation(components.pool.config.update, { maxParallelism: 2 }));
  await advance(9000);
  watched.most = watched.running;
  await advance(5000);
  expect(watched.most).toBeLessThanOrEqual(2);
  await advanceUntil(() => isIdle(at));
  expect(watched.done).toHaveLength(100);
});

test("more queues than an instance can look at are refused, and forgotten when they are not used", async () => {
  const at = await stage();
  for (let priority = 0; priority < 200; priority++) {
    await at.mutate((ctx) =>
      at.pool.enqueueAction(ctx, jobs.work, { name: `a${priority}` }, { priority }),
    );
  }
  const one = at.mutate((ctx) =>
    at.pool.enqueueAction(ctx, jobs.work, { name: "b" }, { priority: 1000 }),
  );
  await expect(one).rejects.toThrow(/At most 200 pools and priorities/v);
  await advanceUntil(() => isIdle(at));
  await advance(1000);
  await at.mutate((ctx) =>
    at.pool.enqueueAction(ctx, jobs.work, { name: "c" }, { priority: 1000 }),
  );
  await advanceUntil(() => isIdle(at));
  expect(watched.done).toHaveLength(201);
});
