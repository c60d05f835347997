/** What becomes of tasks whose process dies, stops or is too slow. */
import { describe, expect, test } from "vitest";

import { hasCode, type Batchwork, type Pool, type TaskContext } from "../../../src/index.ts";
import { homes, Busy, type HeldPool, numbers, World, type TestProcess } from "./world.ts";

const LEASE_MS = 15_000;

function held(busy: Busy, maxParallelism = 100): (bw: Batchwork) => HeldPool {
  return (bw) => bw.pool({ name: "p", maxParallelism, handlers: { hold: busy.handler } });
}

describe.each(homes())("tasks that lose their process on $name", (home) => {
  test("another process runs them once the lease is over, and no minutes later", async () => {
    const world = await World.on(home);
    const [lost, saved] = [new Busy(), new Busy()];
    const first = await world.started(held(lost));
    await world.run(first.pool.enqueueBatch("hold", numbers(20)));
    await world.until(() => lost.running === 20);
    first.kill();
    const from = world.now;
    await world.started(held(saved));
    await world.until(() => saved.started.length > 0, 100);
    expect(world.now - from).toBeLessThan(LEASE_MS + 2000);
    await world.until(() => {
      saved.release();
      return saved.started.length === 20;
    }, 100);
    expect(new Set(saved.started).size).toBe(20);
    saved.release();
  });

  test("after a stop another process runs them at once", async () => {
    const world = await World.on(home);
    const [lost, saved] = [new Busy(), new Busy()];
    const first = await world.started(held(lost));
    await world.started(held(saved, 100));
    await world.run(first.pool.config.update({ maxParallelism: 0 }));
    await world.run(first.pool.enqueueBatch("hold", numbers(10)));
    await world.run(first.pool.config.update({ maxParallelism: 10 }));
    await world.until(() => lost.running + saved.running === 10);
    const mine = lost.running;
    const from = world.now;
    await world.run(first.bw.stop({ graceMs: 0 }));
    await world.until(() => saved.started.length === 10);
    expect(world.now - from).toBeLessThan(LEASE_MS / 2);
    expect(lost.started).toHaveLength(mine);
    saved.release();
  });

  test("stop waits for what runs, and starts nothing more", async () => {
    const world = await World.on(home);
    const busy = new Busy();
    const { bw, pool } = await world.started(held(busy, 2));
    await world.run(pool.enqueueBatch("hold", numbers(5)));
    await world.until(() => busy.running === 2);
    const stopping = bw.stop({ graceMs: 10_000 });
    await world.advance(2000);
    busy.release();
    await world.run(stopping);
    expect(busy.started).toHaveLength(2);
    const after = new Busy();
    const next = await world.started(held(after));
    await world.until(() => after.started.length === 3);
    expect(await world.run(next.pool.stats())).toMatchObject({ waiting: 0, running: 3 });
    after.release();
  });

  test("finished tasks are settled while slow neighbours run on, and never run again", async () => {
    const world = await World.on(home);
    const slow = new Busy();
    const runs: number[] = [];
    const define = (bw: Batchwork): Pool<{ readonly run: (n: number) => Promise<number> }> =>
      bw.pool({
        name: "p",
        maxParallelism: 100,
        handlers: {
          run: async (n: number) => {
            runs.push(n);
            if (n >= 8) await slow.handler(n);
            return n;
          },
        },
      });
    const first = await world.started(define);
    const ids = await world.run(first.pool.enqueueBatch("run", numbers(10)));
    const from = world.now;
    for (const id of ids.slice(0, 8)) await world.run(first.pool.result(id));
    // Well before the next look that comes in any case.
    expect(world.now - from).toBeLessThan(500);
    expect(slow.running).toBe(2);
    first.kill();
    const second = await world.started(define);
    await world.until(() => {
      slow.release();
      return runs.length === 12;
    }, 200);
    slow.release();
    for (const id of ids) {
      expect((await world.run(second.pool.result(id))).kind).toBe("success");
    }
    expect(runs.toSorted((a, b) => a - b)).toEqual([...numbers(8), 8, 8, 9, 9]);
  });

  test("a task that runs longer than the lease runs once", async () => {
    const world = await World.on(home);
    const busy = new Busy();
    const { pool } = await world.started(held(busy));
    await world.started(held(busy));
    const id = await world.run(pool.enqueue("hold", 1));
    await world.until(() => busy.running === 1);
    await world.advance(6 * LEASE_MS, 250);
    busy.release();
    expect((await world.run(pool.result(id))).kind).toBe("success");
    expect(busy.started).toEqual([1]);
  });

  test("a process that was taken for dead is told, and what it did does not count", async () => {
    const world = await World.on(home);
    const reasons: unknown[] = [];
    const contexts: TaskContext[] = [];
    const ends: PromiseWithResolvers<string>[] = [];
    const define = (bw: Batchwork): Pool<{ readonly slow: (n: number) => Promise<string> }> =>
      bw.pool({
        name: "p",
        handlers: {
          slow: async (_: number, ctx: TaskContext) => {
            contexts.push(ctx);
            ctx.signal.addEventListener("abort", () => void reasons.push(ctx.signal.reason));
            const end = Promise.withResolvers<string>();
            ends.push(end);
            return end.promise;
          },
        },
      });
    const first = await world.started(define);
    const id = await world.run(first.pool.enqueue("slow", 1));
    await world.until(() => ends.length === 1);
    first.freeze();
    const second = await world.started(define);
    await world.until(() => ends.length === 2, 250);
    first.thaw();
    ends[0]?.resolve("zombie");
    await world.advance(10_000, 250);
    ends[1]?.resolve("owner");
    expect(await world.run(second.pool.result(id))).toEqual({
      kind: "success",
      returnValue: "owner",
    });
    expect(contexts.map(({ attempt }) => attempt)).toEqual([1, 1]);
  });

  test("a poison task ends in the dead letters and takes no neighbour along", async () => {
    const world = await World.on(home);
    let current: TestProcess | undefined;
    const done = new Set<number>();
    const define = (bw: Batchwork): Pool<{ readonly run: (n: number) => Promise<void> }> =>
      bw.pool({
        name: "p",
        maxParallelism: 100,
        handlers: {
          run: async (n: number) => {
            // It takes the process down, with all that runs in it.
            if (n === 7) current?.kill();
            await world.clock.settle();
            if (n !== 7) done.add(n);
            else await Promise.withResolvers<never>().promise;
          },
        },
      });
    const first = await world.started(define);
    current = first;
    const ids = await world.run(first.pool.enqueueBatch("run", numbers(16)));
    let pool = first.pool;
    let lives = 1;
    const over = async (): Promise<boolean> =>
      (await world.run(pool.statusBatch(ids))).every((status) => status === "finished");
    const next = world.process();
    const watcher = define(next.bw);
    pool = watcher;
    await world.until(async () => {
      if (await over()) return true;
      if (current?.killed === true) {
        lives++;
        current = await world.started(define);
      }
      return false;
    }, 500);
    expect(lives).toBeLessThan(9);
    expect(done.size).toBe(15);
    expect(await world.run(pool.result(ids[7] as string))).toMatchObject({
      kind: "failed",
      error: { code: "CRASHED" },
    });
    const letters = await world.run(pool.deadLetters.list());
    expect(letters.map(({ item }) => item)).toEqual([{ name: "run", args: 7 }]);
  });

  test("the signal of a lost lease says so", async () => {
    const world = await World.on(home);
    const reasons: unknown[] = [];
    const define = (bw: Batchwork): Pool<{ readonly wait: () => Promise<void> }> =>
      bw.pool({
        name: "p",
        handlers: {
          wait: async (_: unknown, ctx: TaskContext) => {
            const { promise, resolve } = Promise.withResolvers<void>();
            ctx.signal.addEventListener("abort", () => {
              reasons.push(ctx.signal.reason);
              resolve();
            });
            await promise;
          },
        },
      });
    const first = await world.started(define);
    await world.run(first.pool.enqueue("wait"));
    await world.until(async () => (await world.run(first.pool.stats())).running === 1);
    first.freeze();
    await world.started(define);
    await world.advance(2 * LEASE_MS, 250);
    first.thaw();
    await world.until(() => reasons.length > 0, 100);
    expect(hasCode(reasons[0], "LEASE_LOST")).toBe(true);
  });
});
