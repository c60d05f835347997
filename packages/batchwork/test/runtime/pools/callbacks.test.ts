/** Who is told that tasks ended. */
import { describe, expect, test } from "vitest";

import type { Batchwork, Completion, Pool } from "../../../src/index.ts";
import { homes, Busy, numbers, World } from "./world.ts";

const HANDLERS = {
  work: async (n: number): Promise<number> => {
    if (n < 0) throw new Error("negative");
    return n * 2;
  },
};

describe.each(homes())("callbacks of a pool on $name", (home) => {
  test("onComplete is told of success, failure and cancellation, with the context", async () => {
    const world = await World.on(home);
    const told: Completion[] = [];
    const { pool } = await world.started((bw) =>
      bw.pool({
        name: "p",
        handlers: HANDLERS,
        onComplete: (completion) => void told.push(completion),
      }),
    );
    const [good, bad] = (await world.run(
      pool.enqueueBatch("work", [1, -1], { context: { job: 7 } }),
    )) as [string, string];
    const later = await world.run(pool.enqueue("work", 5, { runAfter: 60_000, context: "never" }));
    expect(await world.run(pool.cancel(later))).toBe("canceled");
    await world.until(() => told.length === 3);
    const byId = new Map(told.map((one) => [one.id, one]));
    const context = { job: 7 };
    expect(byId.get(good)).toEqual({
      id: good,
      name: "work",
      context,
      result: { kind: "success", returnValue: 2 },
    });
    expect(byId.get(bad)).toMatchObject({
      context,
      result: { kind: "failed", error: { message: "negative" } },
    });
    expect(byId.get(later)).toEqual({
      id: later,
      name: "work",
      context: "never",
      result: { kind: "canceled" },
    });
    await world.advance(5000);
    expect(told).toHaveLength(3);
  });

  test("onCompleteBatch is told of many tasks in one call", async () => {
    const world = await World.on(home);
    const calls: Completion[][] = [];
    const { pool } = await world.started((bw) =>
      bw.pool({
        name: "p",
        maxParallelism: 1000,
        handlers: HANDLERS,
        onCompleteBatch: (completions) => void calls.push(completions),
      }),
    );
    await world.run(pool.enqueueBatch("work", numbers(300), { context: "c" }));
    await world.until(() => calls.flat().length === 300);
    expect(calls.length).toBeLessThan(30);
    expect(new Set(calls.flat().map(({ id }) => id)).size).toBe(300);
    expect(calls.flat().every(({ context }) => context === "c")).toBe(true);
  });

  test("a callback that throws is called again, it alone, until it works", async () => {
    const world = await World.on(home);
    const calls = new Map<string, number>();
    const { pool } = await world.started((bw) =>
      bw.pool({
        name: "p",
        handlers: HANDLERS,
        onComplete: ({ id }) => {
          const nth = (calls.get(id) ?? 0) + 1;
          calls.set(id, nth);
          if (id === ids[1] && nth < 4) throw new Error("not yet");
        },
      }),
    );
    const ids = await world.run(pool.enqueueBatch("work", numbers(3)));
    await world.until(() => calls.get(ids[1] as string) === 4, 100);
    await world.advance(20_000, 500);
    expect(ids.map((id) => calls.get(id))).toEqual([1, 4, 1]);
  });

  test("a task that is tried again is told of once, when it is over", async () => {
    const world = await World.on(home);
    const told: Completion[] = [];
    let attempts = 0;
    const { pool } = await world.started((bw) =>
      bw.pool({
        name: "p",
        retry: { maxAttempts: 3, initialBackoffMs: 5 },
        handlers: {
          third: async () => {
            attempts++;
            if (attempts < 3) throw new Error("again");
            return attempts;
          },
        },
        onComplete: (completion) => void told.push(completion),
      }),
    );
    await world.run(pool.enqueue("third"));
    await world.until(() => told.length > 0);
    await world.advance(2000);
    expect(told.map(({ result }) => result)).toEqual([{ kind: "success", returnValue: 3 }]);
  });

  test("callbacks outlive the process whose task ended", async () => {
    const world = await World.on(home);
    const told: string[] = [];
    const busy = new Busy();
    const define =
      (call: (completion: Completion) => unknown) =>
      (bw: Batchwork): Pool<typeof HANDLERS> =>
        bw.pool({ name: "p", handlers: HANDLERS, onComplete: call });
    const first = await world.started(define(async ({ id }) => busy.handler(id)));
    const ids = await world.run(first.pool.enqueueBatch("work", numbers(5)));
    await world.until(() => busy.started.length > 0);
    for (const id of ids) await world.run(first.pool.result(id));
    first.kill();
    await world.started(define(({ id }) => void told.push(id)));
    await world.until(() => told.length === 5, 500);
    expect(told.toSorted()).toEqual(ids.toSorted());
  });

  test("deadLetter.onDead is called for tasks that failed for good", async () => {
    const world = await World.on(home);
    const dead: unknown[] = [];
    const { pool } = await world.started((bw) =>
      bw.pool({
        name: "p",
        handlers: HANDLERS,
        deadLetter: {
          enabled: true,
          onDead: (job, error) => void dead.push([job.items, error.message]),
        },
      }),
    );
    const id = await world.run(pool.enqueue("work", -4));
    await world.until(() => dead.length === 1);
    expect(dead).toEqual([[[{ name: "work", args: -4 }], "negative"]]);
    const [letter] = await world.run(pool.deadLetters.list());
    expect(letter).toMatchObject({ itemId: id, error: { message: "negative" } });
    expect(await world.run(pool.deadLetters.redrive("all"))).toBe(1);
    await world.until(() => dead.length === 2);
  });
});
