/** `persist: false`: pools that live in the memory of their process, and what becomes of them. */
import { describe, expect, test } from "vitest";

import type {
  Batchwork,
  Completion,
  Pool,
  PoolOptions,
  TaskContext,
  TaskResult,
} from "../../../src/index.ts";
import { Busy, homes, numbers, World } from "./world.ts";

type Handlers = Readonly<Record<"hold", (args: unknown, ctx: TaskContext) => Promise<unknown>>>;

function pooled(
  options: Partial<PoolOptions<Handlers>> & Pick<PoolOptions<Handlers>, "handlers">,
): (bw: Batchwork) => Pool<Handlers> {
  return (bw) => bw.pool<Handlers>({ name: "p", persist: false, maxParallelism: 2, ...options });
}

/** How the task ended, or the code with which the question for it was rejected. */
async function endOf(result: Promise<TaskResult>): Promise<unknown> {
  try {
    return (await result).kind;
  } catch (error) {
    return (error as { readonly code?: string }).code;
  }
}

describe.each(homes())("pools with persist: false beside $name", (home) => {
  test("nothing of them is stored, and another process knows nothing of them", async () => {
    const world = await World.on(home);
    const busy = new Busy();
    const define = pooled({ handlers: { hold: busy.handler } });
    const { pool, storage } = await world.started(define);
    const id = await world.run(pool.enqueue("hold", 1));
    await world.until(() => busy.running === 1);
    const other = await world.started(define);
    expect(await world.run(other.pool.status(id))).toBe("unknown");
    const [info] = await world.run(storage.define([{ name: "p", notify: false }]));
    await expect(world.run(storage.pools.counts(info?.id ?? 0))).rejects.toThrow(/no pool/iv);
    busy.release();
    expect(await world.run(pool.result(id))).toMatchObject({ kind: "success" });
  });

  test("stop runs what waits first, tells who waits for results, and calls onComplete", async () => {
    const world = await World.on(home);
    const busy = new Busy();
    const told: Completion[] = [];
    const define = pooled({
      handlers: { hold: busy.handler },
      onComplete: (one) => told.push(one),
    });
    const { bw, pool } = await world.started(define);
    const ids = await world.run(pool.enqueueBatch("hold", numbers(7)));
    const ends = Promise.all(ids.map(async (id) => endOf(pool.result(id))));
    await world.until(() => busy.running === 2);
    let stopped = false;
    const stopping = bw.stop({ graceMs: 60_000 }).then(() => (stopped = true));
    await world.until(() => {
      busy.release();
      return stopped;
    });
    await world.run(stopping);
    expect(busy.started).toHaveLength(7);
    expect(busy.most).toBe(2);
    expect(await world.run(ends)).toEqual(ids.map(() => "success"));
    expect(told.map(({ id }) => id).toSorted()).toEqual(ids.toSorted());
    expect(world.now).toBeLessThan(60_000);
  });

  test("stop waits for a delay or another attempt that ends within its grace", async () => {
    const world = await World.on(home);
    const starts: number[] = [];
    const hold = async (): Promise<void> => {
      starts.push(world.now);
      if (starts.length === 1) throw new Error("not yet");
    };
    const retry = { maxAttempts: 2, initialBackoffMs: 3000, base: 2 };
    const { bw, pool } = await world.started(pooled({ handlers: { hold }, retry }));
    const [failing] = await world.run(pool.enqueueBatch("hold", [1]));
    const later = await world.run(pool.enqueue("hold", 2, { runAfter: 5000 }));
    const ends = Promise.all([failing as string, later].map(async (id) => endOf(pool.result(id))));
    await world.until(() => starts.length === 1);
    await world.run(bw.stop({ graceMs: 10_000 }));
    expect(await world.run(ends)).toEqual(["success", "success"]);
    expect(starts).toHaveLength(3);
    expect(starts.at(-1)).toBeGreaterThanOrEqual(5000);
    expect(world.now).toBeLessThan(10_000);
  });

  test("stop does not wait for what could not start by then, and says so", async () => {
    const world = await World.on(home);
    const busy = new Busy();
    const define = pooled({ handlers: { hold: busy.handler } });
    const { bw, pool } = await world.started(define);
    const paused = bw.pool<Handlers>({
      name: "q",
      persist: false,
      handlers: { hold: busy.handler },
    });
    await world.run(paused.pause());
    const late = await world.run(pool.enqueue("hold", 1, { runAfter: 60_000 }));
    const held = await world.run(paused.enqueue("hold", 2));
    const ends = Promise.all([endOf(pool.result(late)), endOf(paused.result(held))]);
    const from = world.now;
    await world.run(bw.stop({ graceMs: 30_000 }));
    expect(world.now - from).toBeLessThan(1000);
    expect(await world.run(ends)).toEqual(["STOPPED", "STOPPED"]);
    expect(busy.started).toEqual([]);
  });

  test("stop starts nothing more when the grace is over, and aborts what runs", async () => {
    const world = await World.on(home);
    const signals: AbortSignal[] = [];
    const hold = async (_: unknown, ctx: TaskContext): Promise<void> => {
      signals.push(ctx.signal);
      await Promise.withResolvers<void>().promise;
    };
    const { bw, pool } = await world.started(pooled({ handlers: { hold } }));
    const ids = await world.run(pool.enqueueBatch("hold", numbers(5)));
    const ends = Promise.all(ids.map(async (id) => endOf(pool.result(id))));
    await world.until(() => signals.length === 2);
    const from = world.now;
    await world.run(bw.stop({ graceMs: 5000 }));
    expect(world.now - from).toBeGreaterThanOrEqual(5000);
    expect(world.now - from).toBeLessThan(6000);
    expect(signals.map(({ reason }) => (reason as { code: string }).code)).toEqual([
      "STOPPED",
      "STOPPED",
    ]);
    expect(await world.run(ends)).toEqual(ids.map(() => "STOPPED"));
  });

  test("a batch beside them does not wait for their tasks to be handed over by stop", async () => {
    const world = await World.on(home);
    const busy = new Busy();
    const handed: unknown[] = [];
    const { bw, pool } = await world.started(pooled({ handlers: { hold: busy.handler } }));
    const batch = bw.batch<number>({
      name: "b",
      persist: false,
      maxSize: 10,
      maxWaitMs: 60_000,
      handler: (ctx) => void handed.push(...ctx.batch),
    });
    await world.run(batch.add(1));
    await world.run(pool.enqueue("hold", 1));
    await world.until(() => busy.running === 1);
    const stopping = bw.stop({ graceMs: 30_000 });
    await world.until(() => handed.length === 1);
    expect(busy.running).toBe(1);
    busy.release();
    await world.run(stopping);
    expect(world.now).toBeLessThan(30_000);
  });
});
