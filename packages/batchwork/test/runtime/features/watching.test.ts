/** What can be seen of batches, and done with those that are over, on every storage there is. */
import { describe, expect, test } from "vitest";

import { homes, Busy, numbers, World } from "../pools/world.ts";
import { defining } from "./defining.ts";

describe.each(homes())("watching on $name storage", (home) => {
  test("with a target batches begin at minSize, grow up to maxSize, and are halved at once", async () => {
    const world = await World.on(home);
    const sizes: number[] = [];
    let takesMs = 1;
    const { pool: batch } = await world.started(
      defining<number>({
        maxSize: 8,
        minSize: 2,
        target: { durationMs: 100 },
        concurrency: 1,
        handler: async (ctx) => {
          sizes.push(ctx.batchSize);
          await new Promise<void>((resolve) => {
            world.clock.after(takesMs, resolve);
          });
        },
      }),
    );
    await world.run(batch.addBulk(numbers(300)));
    await world.until(() => sizes.includes(8));
    expect([...new Set(sizes)]).toEqual([2, 3, 4, 6, 8]);
    takesMs = 150;
    const before = sizes.length;
    await world.until(() => sizes.length === before + 6);
    expect(sizes.slice(before)).toEqual([8, 4, 2, 2, 2, 2]);
    takesMs = 0;
    await world.run(batch.drain());
  });

  test("history() tells every process how batches ended, and what made them flush", async () => {
    const world = await World.on(home);
    const define = defining<number>({
      maxSize: 3,
      maxWaitMs: 5000,
      concurrency: 1,
      handler: (ctx) => {
        if (ctx.batch.includes(9)) throw new Error("nine");
      },
    });
    const { pool: batch } = await world.started(define);
    await world.run(batch.addBulk([1, 2, 3]));
    await world.until(async () => (await world.run(batch.history())).length === 1);
    await world.run(batch.add(4));
    await world.run(batch.flush());
    await world.run(batch.add(9));
    await world.until(async () => (await world.run(batch.history())).length === 3, 500);
    const { pool: other } = await world.started(define);
    expect(await world.run(other.history())).toMatchObject([
      { size: 1, reason: "time", outcome: "failed", error: { message: "nine" }, attempts: 1 },
      { size: 1, reason: "flush", outcome: "succeeded" },
      { size: 3, reason: "size", outcome: "succeeded" },
    ]);
    const explained = await world.run(other.explain());
    expect(explained.lastFlushes.map(({ reason }) => reason)).toEqual(["time", "flush", "size"]);
  });

  test("explain() says what waits, what it waits for, and when it goes", async () => {
    const world = await World.on(home);
    const busy = new Busy();
    const define = defining<number>({
      maxSize: 3,
      concurrency: 1,
      retries: { max: 1, baseDelay: 30_000 },
      throttle: { max: 2, duration: 20_000 },
      handler: async (ctx) => {
        await busy.handler(ctx.id);
        throw new Error("no");
      },
    });
    const idle = define(world.process().bw);
    const { pool: batch } = await world.started(define);
    const waitsFor = async (of = batch): Promise<string> =>
      (await world.run(of.explain())).waitsFor;
    expect(await waitsFor()).toBe("nothing");
    await world.run(batch.addBulk([1, 2]));
    const explained = await world.run(batch.explain());
    expect(explained).toMatchObject({ waiting: 2, groups: 1, waitsFor: "size or time" });
    const inMs = Number(explained.nextFlushAt) - world.clock.wallMs();
    expect(inMs).toBeGreaterThan(55_000);
    expect(inMs).toBeLessThanOrEqual(60_000);
    expect(await waitsFor(idle)).toBe("start");
    await world.run(batch.pause());
    expect(await waitsFor()).toBe("paused");
    await world.run(batch.resume());
    await world.run(batch.addBulk([3, 4, 5, 6]));
    await world.until(() => busy.running === 1);
    expect(await waitsFor()).toBe("concurrency");
    busy.release();
    await world.until(() => busy.started.length === 2);
    busy.release();
    await world.until(async () => (await world.run(batch.status())).retrying === 2);
    expect(await waitsFor()).toBe("throttle");
    await world.advance(25_000, 500);
    expect(await waitsFor()).toBe("backoff");
  });

  test("explain() names a group that runs as many batches as it may", async () => {
    const world = await World.on(home);
    const busy = new Busy();
    const { pool: batch } = await world.started(
      defining<number>({ maxSize: 3, groupBy: () => "shop", handler: busy.handler }),
    );
    await world.run(batch.addBulk(numbers(6)));
    await world.until(() => busy.running === 1);
    await world.advance(1000);
    expect(await world.run(batch.explain("shop"))).toMatchObject({
      waiting: 3,
      waitsFor: "groupConcurrency",
    });
    busy.release();
    await world.until(() => busy.started.length === 2);
    busy.release();
  });

  test("explain() says that a batch whose process died runs by itself first", async () => {
    const world = await World.on(home);
    const [lost, saved] = [new Busy(), new Busy()];
    const limits = { maxSize: 3 };
    const first = await world.started(defining<number>({ ...limits, handler: lost.handler }));
    await world.run(first.pool.addBulk(numbers(3)));
    await world.until(() => lost.running === 1);
    first.kill();
    const { pool: batch } = await world.started(
      defining<number>({ ...limits, handler: saved.handler }),
    );
    await world.until(() => saved.running === 1, 500);
    await world.run(batch.addBulk(numbers(3)));
    await world.advance(2000);
    expect(saved.running).toBe(1);
    expect(await world.run(batch.explain())).toMatchObject({
      waiting: 3,
      waitsFor: "a process alone",
    });
    saved.release();
    await world.until(() => saved.started.length === 2);
    saved.release();
  });

  test("replay() hands a batch that is kept over once more, as another one", async () => {
    const world = await World.on(home);
    const seen: [string, number[]][] = [];
    const { pool: batch } = await world.started(
      defining<number>({
        maxSize: 3,
        removeOnComplete: 10,
        handler: (ctx) => void seen.push([ctx.id, [...ctx.batch]]),
      }),
    );
    await world.run(batch.addBulk([1, 2, 3]));
    await world.until(async () => (await world.run(batch.history())).length === 1);
    const [[first]] = seen as [[string, number[]]];
    const { batchId } = await world.run(batch.replay(first));
    await world.until(() => seen.length === 2);
    expect(seen[1]).toEqual([batchId, [1, 2, 3]]);
    expect(batchId).not.toBe(first);
    const unknown = batch.replay("999999").catch((error: unknown) => error);
    expect(await world.run(unknown)).toMatchObject({ code: "NOT_KEPT" });
  });
});
