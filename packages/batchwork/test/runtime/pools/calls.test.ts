/** Calls of a pool from elsewhere: its context, its results later on, what it tells. */
import { describe, expect, test } from "vitest";

import { hasCode } from "../../../src/index.ts";
import { Busy, homes, numbers, World } from "./world.ts";

describe.each(homes())("calls of a pool on $name", (home) => {
  test("a context of a pool runs its tasks and gives back what they return", async () => {
    const world = await World.on(home);
    let counter = 0;
    let most = 0;
    let running = 0;
    const { pool } = await world.started((bw) => {
      const counters = bw.pool({
        name: "counters",
        maxParallelism: 1,
        handlers: {
          increment: async (by: number) => {
            most = Math.max(most, ++running);
            const before = counter;
            await world.clock.settle();
            counter = before + by;
            running--;
            return counter;
          },
          refuse: async (_: number) => {
            throw new RangeError("no");
          },
        },
      });
      const work = bw.pool({
        name: "work",
        handlers: {
          count: async (by: number, ctx) => {
            const inPool = counters.ctx(ctx);
            const value = await inPool.run("increment", by);
            return [inPool.id === ctx.id, value > 0];
          },
          fail: async (by: number, ctx) => counters.ctx(ctx).run("refuse", by),
          later: async (by: number, ctx) => {
            const { scheduler } = counters.ctx(ctx);
            const never = await scheduler.runAfter(60_000, "increment", 1000);
            await scheduler.cancel(never);
            return scheduler.runAt(new Date(0), "increment", by);
          },
        },
      });
      return { counters, work };
    });
    const ids = await world.run(pool.work.enqueueBatch("count", [1, 2, 3, 4]));
    for (const id of ids) {
      expect(await world.run(pool.work.result(id))).toEqual({
        kind: "success",
        returnValue: [true, true],
      });
    }
    expect([counter, most]).toEqual([10, 1]);
    const failed = await world.run(pool.work.enqueue("fail", 1));
    expect(await world.run(pool.work.result(failed))).toMatchObject({
      kind: "failed",
      error: { name: "RangeError", message: "no" },
    });
    const later = await world.run(pool.work.result(await world.run(pool.work.enqueue("later", 5))));
    const id = later.kind === "success" ? later.returnValue : "";
    expect(await world.run(pool.counters.result(id))).toEqual({ kind: "success", returnValue: 15 });
  });

  test("a result is kept for its ttl, and no longer", async () => {
    const world = await World.on(home);
    const { pool } = await world.started((bw) => ({
      short: bw.pool({ name: "short", ttl: 60_000, handlers: { one: async () => 1 } }),
      long: bw.pool({
        name: "long",
        ttl: Number.POSITIVE_INFINITY,
        handlers: { one: async () => 1 },
      }),
      none: bw.pool({ name: "none", ttl: 0, handlers: { one: async () => 1 } }),
    }));
    const short = await world.run(pool.short.enqueue("one"));
    const long = await world.run(pool.long.enqueue("one"));
    expect((await world.run(pool.short.result(short))).kind).toBe("success");
    expect((await world.run(pool.long.result(long))).kind).toBe("success");
    const none = await world.run(pool.none.enqueue("one"));
    await world.until(async () => (await world.run(pool.none.status(none))) === "unknown");
    await world.advance(50_000, 5000);
    expect(await world.run(pool.short.status(short))).toBe("finished");
    await world.advance(30_000, 5000);
    expect(await world.run(pool.short.status(short))).toBe("unknown");
    expect(await world.run(pool.long.status(long))).toBe("finished");
    const gone = await world.run(pool.short.result(short).catch((error: unknown) => error));
    expect(hasCode(gone, "RESULT_UNKNOWN")).toBe(true);
  });

  test("who waits while the engine stops is told so", async () => {
    const world = await World.on(home);
    const busy = new Busy();
    const { bw, pool } = await world.started((one) =>
      one.pool({ name: "p", handlers: { hold: busy.handler } }),
    );
    const id = await world.run(pool.enqueue("hold", 1));
    await world.until(() => busy.running === 1);
    const result = pool.result(id).catch((error: unknown) => error);
    await world.run(bw.stop({ graceMs: 0 }));
    expect(hasCode(await world.run(result), "STOPPED")).toBe(true);
  });

  test("events tell of each task what happens to it", async () => {
    const world = await World.on(home);
    const heard: [string, string, number][] = [];
    const busy = new Busy();
    const { bw, pool } = await world.started((one) =>
      one.pool({
        name: "p",
        tags: ["mail"],
        maxParallelism: 1,
        retry: { maxAttempts: 2, initialBackoffMs: 1 },
        handlers: {
          work: async (n: number, ctx) => {
            if (n < 0 && ctx.attempt === 1) throw new Error("once");
            if (n > 9) throw new Error("always");
            return n;
          },
          hold: busy.handler,
        },
      }),
    );
    for (const event of [
      "started",
      "succeeded",
      "failed",
      "retried",
      "dead",
      "canceled",
    ] as const) {
      bw.on(event, ({ name, tags, batchId, attempt }) => {
        expect([name, tags]).toEqual(["p", ["mail"]]);
        heard.push([event, batchId, attempt]);
      });
    }
    let added = 0;
    pool.on("added", ({ count }) => void (added += count));
    const good = await world.run(pool.enqueue("work", 1));
    await world.run(pool.result(good));
    const again = await world.run(pool.enqueue("work", -1));
    await world.run(pool.result(again));
    const bad = await world.run(pool.enqueue("work", 10));
    await world.run(pool.result(bad));
    const held = await world.run(pool.enqueue("hold", 0));
    await world.until(() => busy.running === 1);
    await world.run(pool.cancel(held));
    busy.release();
    await world.until(() => heard.at(-1)?.[0] === "canceled");
    expect(heard).toEqual([
      ["started", good, 1],
      ["succeeded", good, 1],
      ["started", again, 1],
      ["failed", again, 1],
      ["retried", again, 1],
      ["started", again, 2],
      ["succeeded", again, 2],
      ["started", bad, 1],
      ["failed", bad, 1],
      ["retried", bad, 1],
      ["started", bad, 2],
      ["failed", bad, 2],
      ["dead", bad, 2],
      ["started", held, 1],
      ["canceled", held, 1],
    ]);
    expect(added).toBe(4);
  });

  test("explain says what the next task waits for", async () => {
    const world = await World.on(home);
    const busy = new Busy();
    const define = { name: "p", maxParallelism: 1, handlers: { hold: busy.handler } };
    const process = world.process();
    const pool = process.bw.pool(define);
    await world.run(pool.enqueue("hold", 1));
    const waitsFor = async (): Promise<string> => (await world.run(pool.explain())).waitsFor;
    expect(await waitsFor()).toBe("start");
    await world.run(process.bw.start());
    await world.until(() => busy.running === 1);
    expect(await waitsFor()).toBe("nothing");
    await world.run(pool.enqueue("hold", 2));
    expect(await waitsFor()).toBe("maxParallelism");
    await world.run(pool.cancelAll());
    busy.release();
    await world.until(async () => (await world.run(pool.stats())).running === 0);
    await world.run(pool.enqueue("hold", 3, { runAfter: 60_000 }));
    const delayed = await world.run(pool.explain());
    expect(delayed.waitsFor).toBe("delay");
    expect(delayed.nextStartAt?.getTime()).toBeGreaterThan(world.clock.wallMs() + 50_000);
    expect(delayed.stats).toMatchObject({ waiting: 0, delayed: 1, running: 0, maxParallelism: 1 });
  });

  test("a name is one definition's, be it a batch or a pool", async () => {
    const world = await World.on(home);
    const { bw } = world.process();
    bw.pool({ name: "p", handlers: { one: async () => 1 } });
    bw.batch({ name: "b", maxSize: 1, maxWaitMs: 0, handler: () => undefined });
    const taken = [
      () => bw.pool({ name: "b", handlers: { one: async () => 1 } }),
      () => bw.batch({ name: "p", maxSize: 1, maxWaitMs: 0, handler: () => undefined }),
    ];
    for (const define of taken) expect(define).toThrow(/named "[bp]" is already defined/);
    await world.run(bw.stop());
    expect(() => bw.pool({ name: "late", handlers: { one: async () => 1 } })).toThrow(/stopped/);
  });

  test("a call of too many tasks is refused as a whole", async () => {
    const world = await World.on(home);
    const { pool } = await world.started((bw) =>
      bw.pool({ name: "p", handlers: { one: async (_: number) => 1 } }),
    );
    const refused = pool.enqueueBatch("one", numbers(10_001)).catch((error: unknown) => error);
    expect(hasCode(await world.run(refused), "CALL_TOO_LARGE")).toBe(true);
    expect(await world.run(pool.stats())).toMatchObject({ waiting: 0, running: 0 });
    expect(await world.run(pool.enqueueBatch("one", []))).toEqual([]);
  });
});
