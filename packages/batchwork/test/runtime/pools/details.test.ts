/** What pools promise beside their great lines: delays, spans and lives of keys, to the letter. */
import { describe, expect, test } from "vitest";

import { hasCode, type Batchwork, type Pool } from "../../../src/index.ts";
import { homes, numbers, World } from "./world.ts";

/** A server takes time to answer: what begins on time is seen to begin so much later. */
const LATE_MS = 1000;

describe.each(homes())("a pool, to the letter, on $name", (home) => {
  test("each delay of a retry is base times the one before, less up to half of it by chance", async () => {
    const world = await World.on(home);
    const times = new Map<number, number[]>();
    const { pool } = await world.started((bw) =>
      bw.pool({
        name: "p",
        maxParallelism: 100,
        retry: { maxAttempts: 3, initialBackoffMs: 8000, base: 3, maxBackoffMs: 20_000 },
        handlers: {
          fail: async (n: number) => {
            times.set(n, [...(times.get(n) ?? []), world.now]);
            throw new Error("again");
          },
        },
      }),
    );
    await world.run(pool.enqueueBatch("fail", numbers(30)));
    const attempts = (): number => [...times.values()].flat().length;
    await world.until(() => attempts() === 90, 100);
    const delays = [1, 2].map((nth) =>
      [...times.values()].map((at) => (at[nth] as number) - (at[nth - 1] as number)),
    ) as [number[], number[]];
    for (const [n, mostMs] of [8000, 20_000].entries()) {
      const found = delays[n] as number[];
      expect(Math.min(...found)).toBeGreaterThanOrEqual(mostMs / 2 - LATE_MS);
      expect(Math.max(...found)).toBeLessThanOrEqual(mostMs + 2 * LATE_MS);
      // Chance has eight shares to choose from.
      expect(Math.max(...found) - Math.min(...found)).toBeGreaterThan(mostMs / 8);
    }
  });

  test("throttle holds over two processes, and counts retries", async () => {
    const world = await World.on(home);
    const times: number[] = [];
    const define = (bw: Batchwork): Pool<{ readonly fail: () => Promise<never> }> =>
      bw.pool({
        name: "p",
        throttle: { max: 2, duration: 10_000 },
        retry: { maxAttempts: 2, initialBackoffMs: 1 },
        handlers: {
          fail: async () => {
            times.push(world.now);
            throw new Error("again");
          },
        },
      });
    const { pool } = await world.started(define);
    await world.started(define);
    await world.run(pool.enqueueBatch("fail", [undefined, undefined, undefined]));
    await world.until(() => times.length === 6, 100);
    const span = 10_000 - LATE_MS;
    for (const from of times) {
      expect(times.filter((at) => at >= from && at < from + span).length).toBeLessThanOrEqual(2);
    }
  });

  test("a key is remembered until keyTtlMs after its task ended", async () => {
    const world = await World.on(home);
    const { pool } = await world.started((bw) =>
      bw.pool({ name: "p", keyTtlMs: 30_000, handlers: { echo: async (n: number) => n } }),
    );
    const key = { idempotencyKey: "a" };
    const id = await world.run(pool.enqueue("echo", 1, key));
    await world.run(pool.result(id));
    await world.advance(20_000, 1000);
    expect(await world.run(pool.enqueue("echo", 1, key))).toBe(id);
    await world.advance(20_000, 1000);
    expect(await world.run(pool.enqueue("echo", 2, key))).not.toBe(id);
  });

  test("dead tasks are kept without anybody being told, and can be discarded", async () => {
    const world = await World.on(home);
    const told: unknown[] = [];
    const { pool } = await world.started((bw) =>
      bw.pool({
        name: "p",
        deadLetter: { onDead: (job) => void told.push(job) },
        handlers: {
          fail: async (_: number) => {
            throw new Error("no");
          },
        },
      }),
    );
    const ids = await world.run(pool.enqueueBatch("fail", [1, 2]));
    for (const id of ids) expect((await world.run(pool.result(id))).kind).toBe("failed");
    const [letter] = await world.run(pool.deadLetters.list());
    const known = await world.run(pool.deadLetters.get(letter?.id ?? 0));
    expect(known.item).toEqual({ name: "fail", args: 1 });
    expect(await world.run(pool.deadLetters.discard([known.id]))).toBe(1);
    const gone = await world.run(pool.deadLetters.get(known.id).catch((error: unknown) => error));
    expect(hasCode(gone, "NOT_FOUND")).toBe(true);
    expect((await world.run(pool.stats())).dead).toBe(1);
    await world.advance(5000);
    expect(told).toEqual([]);
  });

  test("onDead is told of a dead task at once, as of a batch", async () => {
    const world = await World.on(home);
    const told: number[] = [];
    const { pool } = await world.started((bw) =>
      bw.pool({
        name: "p",
        deadLetter: { enabled: true, onDead: () => void told.push(world.now) },
        handlers: {
          fail: async (_: number) => {
            throw new Error("no");
          },
        },
      }),
    );
    const from = world.now;
    await world.run(pool.enqueue("fail", 1));
    await world.until(() => told.length === 1);
    expect((told[0] as number) - from).toBeLessThan(2 * LATE_MS);
  });

  test("a task whose handler is gone fails at its first attempt, whatever its retry", async () => {
    const world = await World.on(home);
    const old = world.process();
    const handlers = { gone: async (n: number) => n };
    const id = await world.run(old.bw.pool({ name: "p", handlers }).enqueue("gone", 1));
    const { pool } = await world.started((bw) =>
      bw.pool({ name: "p", retry: true, handlers: { kept: async (n: number) => n } }),
    );
    expect((await world.run(pool.result(id))).kind).toBe("failed");
    const letters = await world.run(pool.deadLetters.list());
    expect(letters.map(({ attempts, error }) => [attempts, error.code])).toEqual([
      [1, "HANDLER_UNKNOWN"],
    ]);
  });

  test("a change of maxParallelism reaches the others within a heartbeat", async () => {
    const world = await World.on(home);
    const started: number[] = [];
    const define = (bw: Batchwork): Pool<{ readonly note: (n: number) => Promise<void> }> =>
      bw.pool({
        name: "p",
        maxParallelism: 0,
        handlers: { note: async (n: number) => void started.push(n) },
      });
    const changing = define(world.process().bw);
    await world.started(define);
    await world.run(changing.enqueueBatch("note", numbers(3)));
    await world.advance(1000);
    expect(started).toEqual([]);
    await world.run(changing.config.update({ maxParallelism: 2 }));
    await world.advance(5000 + LATE_MS, 100);
    expect(started).toEqual([0, 1, 2]);
  });
});
