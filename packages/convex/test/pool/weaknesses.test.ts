/** What goes wrong in pools that came before, one test each. */
import { expect, test, vi } from "vitest";
import { makeFunctionReference } from "convex/server";
import { Workpool } from "../../src/client/pool.js";
import { Executor } from "../../src/pool/execute.js";
import { retryAt } from "../../src/pool/outcome.js";
import type { ExecutorPort } from "../../src/pool/port.js";
import { Meter } from "../meter.js";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import { tasks } from "./app/tasks.js";
import { watched } from "./app/watched.js";
import { components, crash, isIdle, jobs, names, stage, type Stage } from "./fixture.js";
import { kill } from "./kill.js";

useVirtualTime();

const RETRY = { maxAttempts: 4, initialBackoffMs: 100, base: 2 };

const component = import.meta.glob(["../../src/pool/*.ts", "!**/convex.config.ts"]);

test("a run that the scheduler calls a success, and that settled nothing, keeps no slot", async () => {
  const at = await stage({ maxParallelism: 1 });
  const first = { name: "a", times: 1 };
  await at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.hang, first, { retry: RETRY }));
  await advance(200);
  const [run] = await at.rows("executors");
  kill(run?.["token"] as string);
  const turn = "function://pool;loop:turn" as never;
  const over = await at.inside((ctx) => ctx.scheduler.runAfter(0, turn, { turn: -1 } as never));
  await at.inside((ctx) => ctx.db.patch(run?.["_id"] as never, { run: over } as never));
  await advance(10_000);
  expect(watched.done).toEqual(["a"]);
  expect(await isIdle(at)).toBe(true);
});

test("a mutation's return value that is too large to keep is no failure of the mutation", async () => {
  const at = await stage({ ttl: 3_600_000 });
  const large = makeFunctionReference<"mutation">("jobs:writeLarge");
  const options = { onComplete: jobs.ended, context: "throw twice" };
  await at.mutate((ctx) => at.pool.enqueueMutation(ctx, large, { bytes: 1_500_000 }, options));
  await advance(60_000);
  expect(await at.own("ran")).toHaveLength(1);
  // The first call had all of it; the later one is told of the success without the value.
  expect(await at.own("ended")).toMatchObject([{ result: { kind: "success", returnValue: null } }]);
  expect(await at.rows("results")).toMatchObject([{ result: { kind: "failed" } }]);
});

test("an error text of a megabyte is cut before anybody reads it", async () => {
  const at = await stage();
  const retry = { maxAttempts: 2, initialBackoffMs: 10_000, base: 2 };
  const options = { onComplete: jobs.ended, retry };
  await at.mutate((ctx) =>
    at.pool.enqueueAction(ctx, jobs.work, { name: "a", fail: "at length" }, options),
  );
  await advance(200);
  expect((await at.rows("work"))[0]?.["error"]).toHaveLength(4096);
  await advance(60_000);
  const errors = (await at.own("ended")).map(({ result }) => (result as { error: string }).error);
  expect(errors.map(({ length }) => length)).toEqual([4096]);
});

test("a page of the inbox that ends in the middle of a commit loses none of it", async () => {
  for (const before of [1, 200]) {
    const at = await stage({ maxParallelism: 200 });
    for (const one of names(before, "b")) {
      await at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, one));
    }
    await at.mutate(async (ctx) => {
      for (const one of names(300, "c")) await at.pool.enqueueAction(ctx, jobs.work, one);
    });
    await advanceUntil(() => isIdle(at));
    expect(new Set(watched.done).size).toBe(before + 300);
    expect(watched.started).toHaveLength(before + 300);
  }
});

test("an outcome that is settled twice counts once", async () => {
  const at = await stage();
  const slow = { name: "a", ms: 10_000 };
  await at.mutate((ctx) =>
    at.pool.enqueueAction(ctx, jobs.work, slow, { onComplete: jobs.ended, retry: RETRY }),
  );
  await advance(200);
  const [run] = await at.rows("executors");
  const [row] = await at.rows("work");
  const result = { kind: "success", returnValue: 1 } as const;
  const callback = { handle: "function://;jobs:ended" };
  const outcome = { work: row?.["_id"] as string, place: 0, result, callback };
  const args = { token: run?.["token"] as string, settled: 0, low: false, end: false };
  for (let time = 0; time < 2; time++) {
    await at.mutate((ctx) =>
      ctx.runMutation(components.pool.runs.settle, {
        ...args,
        outcomes: [outcome, outcome],
      }),
    );
  }
  await advance(20_000);
  expect(await at.own("ended")).toHaveLength(1);
  expect(await isIdle(at)).toBe(true);
});

test("work that is canceled twice, while it runs and after it ended is told of once", async () => {
  const at = await stage();
  const options = { onComplete: jobs.ended };
  const [running, waiting] = await at.mutate(async (ctx) => [
    await at.pool.enqueueAction(ctx, jobs.work, { name: "a", ms: 900 }, options),
    await at.pool.enqueueAction(ctx, jobs.work, { name: "b" }, { ...options, runAfter: 5000 }),
  ]);
  await advance(200);
  for (let time = 0; time < 3; time++) {
    await at.mutate(async (ctx) => {
      await at.pool.cancel(ctx, running);
      await at.pool.cancel(ctx, waiting);
    });
    await advance(400);
  }
  await advance(10_000);
  expect(await at.own("ended")).toHaveLength(2);
  expect(await at.rows("chunks")).toEqual([]);
});

test("the first retry waits initialBackoffMs, give or take half, and each further one base times it", () => {
  const retry = { maxAttempts: 5, initialBackoffMs: 1000, base: 3 };
  expect(retryAt(retry, 0, 0, 0)).toBe(500);
  expect(retryAt(retry, 0, 0, 0.999)).toBe(1499);
  expect(retryAt(retry, 2, 0, 0.5)).toBe(9000);
  expect(retryAt(retry, 4, 0, 0.5)).toBeNull();
});

test("a handler that kills its executor each time is given up, and takes nobody along", async () => {
  const at = await stage();
  const options = { onComplete: jobs.ended };
  const some = [...names(12), { name: "poison" }, ...names(12, "b")];
  await at.mutate((ctx) =>
    tasks.enqueueBatch(
      ctx,
      some.map((args) => ({ name: "greet", args, options })),
    ),
  );
  let deaths = 0;
  while ((await at.own("ended")).length < 25) {
    await advance(50);
    const poisoned = watched.started.filter((name) => name === "poison").length;
    if (poisoned > deaths) {
      deaths = poisoned;
      await crash(at, await executorOf(at, "poison"));
    }
    expect(deaths).toBeLessThan(15);
  }
  const failed = (await at.own("ended")).filter(
    ({ result }) => (result as { kind: string }).kind === "failed",
  );
  expect(failed).toHaveLength(1);
  const letters = await at.t.query((ctx) => at.pool.deadLetters(ctx));
  expect(letters).toMatchObject([{ args: { name: "poison" } }]);
  expect(new Set(watched.done).size).toBe(24);
});

/** The run that has the item of this name. */
async function executorOf(at: Stage, name: string): Promise<string | undefined> {
  const chunks = await at.rows("chunks");
  const place = (items: unknown): number =>
    (items as { name: string }[]).findIndex((one) => one.name === name);
  const chunk = chunks.find(({ items }) => place(items) >= 0);
  const row = (await at.rows("work")).find(
    (one) =>
      one["chunk"] === chunk?.["_id"] &&
      ((one["places"] as number[] | undefined)?.includes(place(chunk?.["items"])) ?? true),
  );
  const run = (await at.rows("executors")).find(({ _id }) => _id === row?.["executor"]);
  return run?.["token"] as string;
}

test("handlers with a megabyte of arguments each go through, within the limits of a transaction", async () => {
  const at = await stage();
  for (let i = 0; i < 12; i++) {
    const args = { name: `${i}`.padEnd(990_000, "x") };
    await at.mutate((ctx) => tasks.enqueue(ctx, "greet", args));
  }
  await advanceUntil(() => isIdle(at));
  expect(watched.done).toHaveLength(12);
});

test("canceling and discarding large work stays within the limits of a transaction", async () => {
  const at = await stage({ maxParallelism: 0 });
  for (let i = 0; i < 30; i++) {
    const args = { name: `${i}`.padEnd(900_000, "x") };
    await at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, args));
  }
  await at.mutate((ctx) => at.pool.cancelAll(ctx));
  await advance(5000);
  expect(await at.rows("chunks")).toEqual([]);
});

test("arguments and a context that do not fit in one document are refused, with their sizes", async () => {
  const at = await stage();
  const args = { name: "x".repeat(600_000) };
  const context = "c".repeat(600_000);
  await expect(
    at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, args, { context })),
  ).rejects.toThrow(/ITEM_TOO_LARGE/v);
  const many = names(20).map(({ name }) => ({ name: name.padEnd(20_000, "x") }));
  await at.mutate((ctx) =>
    at.pool.enqueueActionBatch(ctx, jobs.work, many, { context: "c".repeat(900_000) }),
  );
  expect((await at.rows("chunks")).length).toBeGreaterThan(3);
});

test("a call on an awake pool schedules nothing, however many items it has", async () => {
  const at = await stage();
  await at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, { name: "first", ms: 900 }));
  await advance(60);
  const scheduled = (): Promise<number> =>
    at.inside(async (ctx) => (await ctx.db.system.query("_scheduled_functions").collect()).length);
  const before = await scheduled();
  for (let call = 0; call < 5; call++) {
    await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, names(50, `${call}.`)));
  }
  expect(await scheduled()).toBe(before);
});

test("with fewer executors than before, tasks that were enqueued for more all run", async () => {
  const at = await stage();
  const some = names(60).map((args) => ({ name: "greet", args: { ...args, ms: 50 } }));
  await at.mutate((ctx) => tasks.enqueueBatch(ctx, some));
  await at.mutate((ctx) => ctx.runMutation(components.pool.config.update, { maxParallelism: 1 }));
  await advanceUntil(() => watched.done.length === 60);
  await advanceUntil(() => isIdle(at));
  expect(new Set(watched.started).size).toBe(60);
});

test("while one task runs for long, nothing polls for others", async () => {
  await Meter.over("pool", component);
  const at = await stage();
  await at.mutate((ctx) => tasks.enqueue(ctx, "greet", { name: "long", ms: 590_000 }));
  await advance(5000);
  const meter = Meter.start();
  await advance(500_000);
  // The watch of the one run, every ten seconds.
  expect(meter.total).toBeLessThanOrEqual(52);
  expect(await at.rows("executors")).toHaveLength(1);
});

test("a settlement that fails is tried again after ever longer delays, and nothing runs twice", async () => {
  const calls: number[] = [];
  let runs = 0;
  const taken = { work: "w", chunk: "c", fn: { type: "action", handle: "h", name: "n" } } as const;
  const port = {
    take: () =>
      Promise.resolve({
        taken: 1,
        slots: 5,
        parked: false,
        rows: [{ ...taken, attempts: 0, bytes: 10, items: [{ place: 0, args: {} }] }],
      }),
    waiting: () => Promise.resolve({ upTo: 1, parked: false }),
    call: () => {
      runs++;
      return Promise.resolve(1);
    },
    settle: () => {
      calls.push(Date.now());
      if (calls.length < 5) return Promise.reject(new Error("the platform is busy"));
      return Promise.resolve({ dealt: 1, ended: true, parked: false });
    },
  };
  const over = new Executor(port as unknown as ExecutorPort, "t").run(1);
  await vi.advanceTimersByTimeAsync(60_000);
  await over;
  expect(runs).toBe(1);
  const gaps = calls.slice(1).map((at, i) => at - (calls[i] as number));
  expect(gaps).toEqual([200, 400, 800, 1600]);
});

test("two handlers of one name are refused, and arguments that were not declared fail for good", async () => {
  const again = { args: {}, handler: () => Promise.resolve(null) };
  expect(() => tasks.action("greet", again)).toThrow(/A handler named "greet" exists/v);
  const at = await stage();
  const options = { retry: RETRY, onComplete: jobs.ended };
  await at.mutate((ctx) => tasks.enqueue(ctx, "greet", { name: 7 }, options));
  await at.mutate((ctx) => tasks.enqueue(ctx, "greet", { name: "a", more: 1 }, options));
  await advanceUntil(async () => (await at.own("ended")).length === 2);
  const errors = (await at.own("ended")).map(({ result }) => (result as { error: string }).error);
  expect(errors[0]).toContain("args.name is to be string, not number");
  expect(errors[1]).toContain("args.more is not declared");
  expect(watched.started).toEqual([]);
});

test("a declaration that comes with every call rewrites nothing, and pausing needs no deploy", async () => {
  const at = await stage({ maxParallelism: 5 });
  await at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, { name: "a", ms: 5000 }));
  await advance(60);
  const before = await at.rows("gate");
  expect(before).toMatchObject([{ state: "awake", declared: { maxParallelism: 5 } }]);
  for (let call = 0; call < 10; call++) {
    const one = new Workpool(components.pool, { maxParallelism: 5 });
    await at.mutate((ctx) => one.enqueueAction(ctx, jobs.work, { name: `b${call}` }));
  }
  expect(await at.rows("gate")).toEqual(before);
  await at.mutate((ctx) => at.pool.pause(ctx));
  expect(await at.rows("gate")).toMatchObject([{ pools: [{ pool: "", paused: true }] }]);
});
