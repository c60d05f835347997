/** Ending tasks before their time. */
import { describe, expect, test } from "vitest";

import { hasCode, type Batchwork, type Pool, type TaskContext } from "../../../src/index.ts";
import { homes, Busy, numbers, World } from "./world.ts";

/** Runs until its signal aborts, and notes why. */
class Endless {
  readonly reasons: unknown[] = [];
  running = 0;

  readonly handler = async (_: unknown, ctx: TaskContext): Promise<never> => {
    this.running++;
    const { promise, reject } = Promise.withResolvers<never>();
    ctx.signal.addEventListener("abort", () => {
      this.running--;
      this.reasons.push(ctx.signal.reason);
      reject(ctx.signal.reason as Error);
    });
    return promise;
  };
}

describe.each(homes())("canceling tasks on $name", (home) => {
  test("a task that waits never starts", async () => {
    const world = await World.on(home);
    const busy = new Busy();
    const { pool } = await world.started((bw) =>
      bw.pool({ name: "p", maxParallelism: 1, handlers: { hold: busy.handler } }),
    );
    const ids = await world.run(pool.enqueueBatch("hold", numbers(3)));
    await world.until(() => busy.running === 1);
    expect(await world.run(pool.cancelBatch([ids[1] as string, "999:0"]))).toEqual([
      "canceled",
      "unknown",
    ]);
    expect(await world.run(pool.result(ids[1] as string))).toEqual({ kind: "canceled" });
    busy.release();
    await world.until(() => busy.started.length === 2);
    busy.release();
    await world.run(pool.result(ids[2] as string));
    expect(busy.started).toEqual([0, 2]);
    expect(await world.run(pool.cancel(ids[0] as string))).toBe("finished");
    expect(await world.run(pool.cancel(ids[1] as string))).toBe("finished");
  });

  test("a task that runs is told through its signal, in whichever process", async () => {
    const world = await World.on(home);
    const endless = new Endless();
    const define = (bw: Batchwork): Pool<{ readonly wait: Endless["handler"] }> =>
      bw.pool({ name: "p", retry: true, handlers: { wait: endless.handler } });
    const worker = await world.started(define);
    const other = world.process();
    const pool = define(other.bw);
    const id = await world.run(worker.pool.enqueue("wait", 1));
    await world.until(() => endless.running === 1);
    expect(await world.run(pool.cancel(id))).toBe("canceling");
    expect(await world.run(pool.result(id))).toEqual({ kind: "canceled" });
    await world.until(() => endless.reasons.length === 1, 100);
    expect(hasCode(endless.reasons[0], "CANCELED")).toBe(true);
    await world.advance(10_000, 200);
    expect(endless.running).toBe(0);
    expect(await world.run(pool.stats())).toMatchObject({ running: 0, dead: 0, delayed: 0 });
  });

  test("a process that has no room for more tasks hears of a canceled one, too", async () => {
    const world = await World.on(home);
    const endless = new Endless();
    const handlers = { wait: endless.handler };
    const { pool } = await world.started((bw) =>
      bw.pool({ name: "p", maxConcurrencyPerWorker: 1, handlers }),
    );
    const [first] = await world.run(pool.enqueueBatch("wait", numbers(2)));
    await world.until(() => endless.running === 1);
    expect(await world.run(pool.cancel(first as string))).toBe("canceling");
    await world.until(() => endless.reasons.length === 1, 100);
    expect(hasCode(endless.reasons[0], "CANCELED")).toBe(true);
    await world.until(() => endless.running === 1);
  });

  test("how a canceled task ends does not count", async () => {
    const world = await World.on(home);
    const told: unknown[] = [];
    const busy = new Busy();
    const { pool } = await world.started((bw) =>
      bw.pool({
        name: "p",
        handlers: { hold: busy.handler },
        onComplete: ({ result }) => void told.push(result),
      }),
    );
    const id = await world.run(pool.enqueue("hold", 1));
    await world.until(() => busy.running === 1);
    await world.run(pool.cancel(id));
    busy.release();
    await world.until(() => told.length === 1);
    await world.advance(3000);
    expect(told).toEqual([{ kind: "canceled" }]);
    expect(await world.run(pool.result(id))).toEqual({ kind: "canceled" });
  });

  test("cancelAll ends everything that is stored", async () => {
    const world = await World.on(home);
    const endless = new Endless();
    const told: unknown[] = [];
    const { pool } = await world.started((bw) =>
      bw.pool({
        name: "p",
        maxParallelism: 2,
        handlers: { wait: endless.handler },
        onComplete: ({ result }) => void told.push(result.kind),
      }),
    );
    await world.run(pool.enqueueBatch("wait", numbers(700)));
    const later = await world.run(pool.enqueue("wait", 0, { runAfter: 1000 }));
    await world.until(() => endless.running === 2);
    expect(await world.run(pool.cancelAll())).toBe(701);
    await world.until(() => told.length === 701, 100);
    expect(new Set(told)).toEqual(new Set(["canceled"]));
    expect(await world.run(pool.status(later))).toBe("finished");
    await world.until(() => endless.running === 0);
    await world.until(async () => (await world.run(pool.stats())).running === 0);
    expect(await world.run(pool.stats())).toMatchObject({ waiting: 0, delayed: 0 });
  });

  test("a task that runs longer than its timeout has failed, and its signal says so", async () => {
    const world = await World.on(home);
    const endless = new Endless();
    const { pool } = await world.started((bw) =>
      bw.pool({
        name: "p",
        timeout: 5000,
        handlers: {
          wait: endless.handler,
          short: { timeout: 1000, handler: endless.handler },
        },
      }),
    );
    const from = world.now;
    const ids = [
      await world.run(pool.enqueue("wait", 1)),
      await world.run(pool.enqueue("short", 1)),
      await world.run(pool.enqueue("wait", 1, { timeout: 2000 })),
    ] as const;
    const ends: number[] = [];
    for (const id of [ids[1], ids[2], ids[0]]) {
      const result = pool.result(id);
      await world.until(async () => (await world.run(pool.status(id))) === "finished", 50);
      ends.push(world.now - from);
      expect(await world.run(result)).toMatchObject({
        kind: "failed",
        error: { code: "HANDLER_TIMEOUT" },
      });
    }
    expect(ends[0]).toBeGreaterThanOrEqual(1000);
    expect(ends[0]).toBeLessThan(2000);
    expect(ends[1]).toBeGreaterThanOrEqual(2000);
    expect(ends[1]).toBeLessThan(5000);
    expect(ends[2]).toBeGreaterThanOrEqual(5000);
    expect(endless.reasons.every((reason) => hasCode(reason, "HANDLER_TIMEOUT"))).toBe(true);
  });
});
