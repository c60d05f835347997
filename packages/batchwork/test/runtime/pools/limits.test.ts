/** How many tasks run at a time, of what, and in which order. */
import { describe, expect, test } from "vitest";

import type { Batchwork } from "../../../src/index.ts";
import { homes, Busy, type HeldPool, numbers, World } from "./world.ts";

describe.each(homes())("limits of a pool on $name", (home) => {
  test("no more tasks run at a time than maxParallelism, over all processes", async () => {
    const world = await World.on(home);
    const busy = new Busy();
    const define = (bw: Batchwork): HeldPool =>
      bw.pool({ name: "p", maxParallelism: 5, handlers: { hold: busy.handler } });
    const { pool } = await world.started(define);
    await world.started(define);
    await world.started(define);
    await world.run(pool.enqueueBatch("hold", numbers(23)));
    while (busy.started.length < 23) {
      await world.until(
        () => busy.running === Math.min(5, 23 - busy.started.length + busy.running),
      );
      await world.advance(100);
      expect(busy.running).toBeLessThanOrEqual(5);
      busy.release(2);
      await world.advance(50);
    }
    busy.release();
    expect(busy.most).toBe(5);
    await world.until(async () => (await world.run(pool.stats())).running === 0);
  });

  test("0 starts nothing; a change holds in every process, and is not undone", async () => {
    const world = await World.on(home);
    const [before, after] = [new Busy(), new Busy()];
    const define =
      (busy: Busy) =>
      (bw: Batchwork): HeldPool =>
        bw.pool({ name: "p", maxParallelism: 0, handlers: { hold: busy.handler } });
    const first = await world.started(define(before));
    const other = define(before)(world.process().bw);
    await world.run(first.pool.enqueueBatch("hold", numbers(9)));
    await world.advance(2000);
    expect(before.started).toEqual([]);
    expect((await world.run(first.pool.explain())).waitsFor).toBe("paused");
    expect(await world.run(first.pool.config.get())).toEqual({ maxParallelism: 0 });
    await world.run(other.config.update({ maxParallelism: 3 }));
    await world.until(() => before.running === 3);
    await world.run(first.bw.stop({ graceMs: 0 }));
    // Whoever defines it later does not have its say either.
    const second = await world.started(define(after));
    await world.until(() => after.running === 3);
    expect(await world.run(second.pool.config.get())).toEqual({ maxParallelism: 3 });
    await world.run(second.pool.config.update({ maxParallelism: null }));
    expect(await world.run(second.pool.config.get())).toEqual({ maxParallelism: 0 });
    after.release();
    await world.advance(1000);
    expect(after.running).toBe(0);
  });

  test("a process runs no more at a time than maxConcurrencyPerWorker", async () => {
    const world = await World.on(home);
    const busy = new Busy();
    const { pool } = await world.started((bw) =>
      bw.pool({
        name: "p",
        maxParallelism: 100,
        maxConcurrencyPerWorker: 4,
        handlers: { hold: busy.handler },
      }),
    );
    await world.run(pool.enqueueBatch("hold", numbers(10)));
    await world.until(() => busy.running === 4);
    await world.advance(1000);
    expect(busy.running).toBe(4);
    expect((await world.run(pool.explain())).waitsFor).toBe("maxConcurrencyPerWorker");
    busy.release(1);
    await world.until(() => busy.started.length === 5);
    expect(busy.most).toBe(4);
    while (busy.started.length < 10) {
      busy.release();
      await world.advance(20);
    }
    busy.release();
  });

  test("a process has no more bytes at a time than it may, but each task has its turn", async () => {
    const world = await World.on(home);
    const busy = new Busy();
    const { pool } = await world.started((bw) =>
      bw.pool({
        name: "p",
        maxParallelism: 100,
        maxBytesPerWorker: 5000,
        handlers: { hold: busy.handler },
      }),
    );
    const big = "x".repeat(2000);
    await world.run(pool.enqueueBatch("hold", [big, big, big, "x".repeat(20_000), big]));
    while (busy.started.length < 5) {
      await world.until(() => busy.running > 0);
      await world.advance(2000, 500);
      expect(busy.running).toBeLessThanOrEqual(2);
      busy.release();
      await world.advance(20);
    }
    expect(busy.most).toBe(2);
    busy.release();
  });

  test("a heap that is too full lets one task go at a time", async () => {
    const world = await World.on(home);
    const busy = new Busy();
    const { pool } = await world.started((bw) =>
      bw.pool({
        name: "p",
        maxParallelism: 100,
        maxHeapMB: 1,
        handlers: { hold: busy.handler },
      }),
    );
    await world.run(pool.enqueueBatch("hold", numbers(3)));
    await world.until(() => busy.running === 1);
    await world.advance(500);
    expect((await world.run(pool.explain())).waitsFor).toBe("heap");
    while (busy.started.length < 3) {
      busy.release();
      await world.advance(50);
    }
    expect(busy.most).toBe(1);
    busy.release();
  });

  test("tasks of one serial key run one after another, in order; others go past", async () => {
    const world = await World.on(home);
    const busy = new Busy();
    const { pool } = await world.started((bw) =>
      bw.pool({ name: "p", maxParallelism: 10, handlers: { hold: busy.handler } }),
    );
    await world.run(pool.enqueueBatch("hold", ["a1", "a2", "a3"], { serialKey: "a" }));
    await world.run(pool.enqueueBatch("hold", ["b1", "b2"], { serialKey: "b" }));
    await world.run(pool.enqueueBatch("hold", ["free1", "free2"]));
    await world.until(() => busy.running === 4);
    expect(new Set(busy.started)).toEqual(new Set(["a1", "b1", "free1", "free2"]));
    await world.advance(500);
    expect(busy.running).toBe(4);
    busy.release();
    await world.until(() => busy.running === 2);
    expect(new Set(busy.started.slice(4))).toEqual(new Set(["a2", "b2"]));
    busy.release();
    await world.until(() => busy.started.length === 7);
    busy.release();
  });

  test("concurrencyPerKey lets so many tasks of a key run together", async () => {
    const world = await World.on(home);
    const busy = new Busy();
    const define = (bw: Batchwork): HeldPool =>
      bw.pool({
        name: "p",
        maxParallelism: 10,
        concurrencyPerKey: 2,
        handlers: { hold: busy.handler },
      });
    const { pool } = await world.started(define);
    await world.started(define);
    await world.run(pool.enqueueBatch("hold", numbers(6), { serialKey: "a" }));
    while (busy.started.length < 6) {
      await world.until(() => busy.running === 2);
      await world.advance(100);
      busy.release();
      await world.advance(50);
    }
    expect(busy.most).toBe(2);
    expect(new Set(busy.started)).toEqual(new Set(numbers(6)));
    busy.release();
  });

  test("the smaller priority goes first", async () => {
    const world = await World.on(home);
    const order: string[] = [];
    const { pool } = await world.started((bw) =>
      bw.pool({
        name: "p",
        maxParallelism: 0,
        handlers: { note: async (who: string) => void order.push(who) },
      }),
    );
    await world.run(pool.enqueueBatch("note", ["last"], { priority: 5 }));
    await world.run(pool.enqueueBatch("note", ["normal", "normal"]));
    await world.run(pool.enqueueBatch("note", ["first"], { priority: -1 }));
    await world.run(pool.config.update({ maxParallelism: 1 }));
    await world.until(() => order.length === 4);
    expect(order).toEqual(["first", "normal", "normal", "last"]);
  });

  test("a key with much to do does not hold up the others", async () => {
    const world = await World.on(home);
    const order: string[] = [];
    const { pool } = await world.started((bw) =>
      bw.pool({
        name: "p",
        maxParallelism: 0,
        concurrencyPerKey: 10,
        handlers: { note: async (who: string) => void order.push(who) },
      }),
    );
    const much = Array.from({ length: 20 }, () => "much");
    await world.run(pool.enqueueBatch("note", much, { serialKey: "much" }));
    await world.run(pool.enqueueBatch("note", ["little"], { serialKey: "little" }));
    await world.run(pool.config.update({ maxParallelism: 1 }));
    await world.until(() => order.length === 21);
    expect(order.indexOf("little")).toBeLessThan(3);
  });

  test("pools do not starve each other", async () => {
    const world = await World.on(home);
    const busy = new Busy();
    const { pool } = await world.started((bw) => ({
      scrape: bw.pool({ name: "scrape", maxParallelism: 2, handlers: { hold: busy.handler } }),
      email: bw.pool({ name: "email", handlers: { send: async (n: number) => n } }),
    }));
    await world.run(pool.scrape.enqueueBatch("hold", numbers(1000)));
    await world.until(() => busy.running === 2);
    const ids = await world.run(pool.email.enqueueBatch("send", numbers(20)));
    for (const id of ids) expect((await world.run(pool.email.result(id))).kind).toBe("success");
    expect(busy.started).toHaveLength(2);
    await world.run(pool.scrape.cancelAll());
    busy.release();
  });

  test("throttle limits how many begin in a span", async () => {
    const world = await World.on(home);
    const times: number[] = [];
    const { pool } = await world.started((bw) =>
      bw.pool({
        name: "p",
        throttle: { max: 3, duration: 10_000 },
        handlers: { note: async (_: number) => void times.push(world.now) },
      }),
    );
    await world.run(pool.enqueueBatch("note", numbers(7)));
    await world.until(() => times.length === 3);
    await world.advance(5000);
    expect(times).toHaveLength(3);
    expect((await world.run(pool.explain())).waitsFor).toBe("throttle");
    await world.until(() => times.length === 7, 100);
    // A server takes time to answer: what begins on time is seen to begin up to a second later.
    for (const from of times) {
      expect(times.filter((at) => at >= from && at < from + 9000).length).toBeLessThan(4);
    }
  });

  test("the throttle of the definition with the highest version counts in every process", async () => {
    const world = await World.on(home);
    const times: number[] = [];
    const define = (version: number, max: number) => (bw: Batchwork) =>
      bw.pool({
        name: "p",
        version,
        throttle: { max, duration: 10_000 },
        handlers: { note: async (_: number) => void times.push(world.now) },
      });
    const fresh = await world.started(define(2, 1));
    const { pool } = await world.started(define(1, 100));
    await world.run(fresh.bw.stop());
    await world.run(pool.enqueueBatch("note", numbers(3)));
    await world.until(() => times.length === 1);
    await world.advance(5000);
    expect(times).toHaveLength(1);
    expect((await world.run(pool.explain())).waitsFor).toBe("throttle");
    await world.until(() => times.length === 3, 100);
  });

  test("a paused pool takes tasks in and starts none until it is resumed", async () => {
    const world = await World.on(home);
    const { pool } = await world.started((bw) =>
      bw.pool({ name: "p", handlers: { twice: async (n: number) => n * 2 } }),
    );
    await world.run(pool.pause());
    const id = await world.run(pool.enqueue("twice", 4));
    await world.advance(2000);
    expect(await world.run(pool.status(id))).toBe("pending");
    expect((await world.run(pool.explain())).waitsFor).toBe("paused");
    await world.run(pool.resume());
    expect(await world.run(pool.result(id))).toEqual({ kind: "success", returnValue: 8 });
    expect((await world.run(pool.explain())).waitsFor).toBe("nothing");
  });
});
