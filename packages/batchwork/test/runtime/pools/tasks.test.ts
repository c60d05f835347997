/** What every pool does: enqueue, run, tell how it ended. */
import { describe, expect, test } from "vitest";

import { hasCode, NonRetryableError, task, type Batchwork, type Pool } from "../../../src/index.ts";
import { storedNumber } from "./schema.ts";
import { homes, Busy, numbers, World } from "./world.ts";

function fail(who: string): never {
  throw new Error(who);
}

describe.each(homes())("a pool on $name", (home) => {
  test("runs the handler that a task names, once, and keeps what it returned", async () => {
    const world = await World.on(home);
    const seen: unknown[] = [];
    const { pool } = await world.started((bw) =>
      bw.pool({
        name: "emails",
        handlers: {
          send: async (args: { n: number }, ctx) => {
            seen.push([ctx.id, ctx.pool, ctx.name, ctx.attempt, args.n]);
            return args.n * 2;
          },
          nothing: async () => undefined,
        },
      }),
    );
    const ids = await world.run(pool.enqueueBatch("send", [{ n: 1 }, { n: 2 }]));
    const [first, second] = ids as [(typeof ids)[0], (typeof ids)[0]];
    const one = await world.run(pool.enqueue("nothing"));
    expect(await world.run(pool.result(first))).toEqual({ kind: "success", returnValue: 2 });
    expect(await world.run(pool.result(second))).toEqual({ kind: "success", returnValue: 4 });
    expect(await world.run(pool.result(one))).toEqual({
      kind: "success",
      returnValue: undefined,
    });
    expect(seen).toEqual([
      [first, "emails", "send", 1, 1],
      [second, "emails", "send", 1, 2],
    ]);
  });

  test("keeps a result for every process, rich values too", async () => {
    const world = await World.on(home);
    const at = new Date(0);
    const define = (bw: Batchwork): Pool<{ readonly make: (n: number) => Promise<unknown> }> =>
      bw.pool({ name: "p", handlers: { make: async (n: number) => ({ at, big: BigInt(n) }) } });
    const { pool } = await world.started(define);
    const { pool: other } = await world.started(define);
    const id = await world.run(pool.enqueue("make", 3));
    const expected = { kind: "success", returnValue: { at, big: 3n } };
    expect(await world.run(other.result(id))).toEqual(expected);
    expect(await world.run(other.status(id))).toBe("finished");
  });

  test("says where each task is: pending, running, finished, unknown", async () => {
    const world = await World.on(home);
    const busy = new Busy();
    const { pool } = await world.started((bw) =>
      bw.pool({ name: "p", maxParallelism: 1, handlers: { hold: busy.handler } }),
    );
    const ids = await world.run(pool.enqueueBatch("hold", numbers(2)));
    await world.until(() => busy.running === 1);
    expect(await world.run(pool.statusBatch([...ids, "99999:0"]))).toEqual([
      "running",
      "pending",
      "unknown",
    ]);
    busy.release();
    await world.until(() => busy.started.length === 2);
    busy.release();
    await world.run(pool.result(ids[1] as string));
    expect(await world.run(pool.statusBatch(ids))).toEqual(["finished", "finished"]);
  });

  test("rejects a wait that is too short, and one for a task that nobody knows", async () => {
    const world = await World.on(home);
    const busy = new Busy();
    const { pool } = await world.started((bw) =>
      bw.pool({ name: "p", handlers: { hold: busy.handler } }),
    );
    const id = await world.run(pool.enqueue("hold", 1));
    const late = await world.run(
      pool.result(id, { timeoutMs: 100 }).catch((error: unknown) => error),
    );
    expect(hasCode(late, "RESULT_TIMEOUT")).toBe(true);
    const lost = await world.run(pool.result("99999:0").catch((error: unknown) => error));
    expect(hasCode(lost, "RESULT_UNKNOWN")).toBe(true);
    busy.release();
    expect((await world.run(pool.result(id))).kind).toBe("success");
  });

  test("tries a task again as its retry says, and another one as its call says", async () => {
    const world = await World.on(home);
    const attempts = new Map<string, number>();
    const { pool } = await world.started((bw) =>
      bw.pool({
        name: "p",
        retry: { maxAttempts: 3, initialBackoffMs: 10 },
        handlers: {
          fail: async (who: string, ctx) => {
            attempts.set(who, ctx.attempt);
            throw new Error(`no ${who}`);
          },
          stop: async (who: string) => {
            attempts.set(who, (attempts.get(who) ?? 0) + 1);
            throw new NonRetryableError("useless");
          },
          own: { retry: false, handler: async (who: string) => fail(who) },
        },
      }),
    );
    const three = await world.run(pool.enqueue("fail", "a"));
    const once = await world.run(pool.enqueue("fail", "b", { retry: false }));
    const five = await world.run(
      pool.enqueue("fail", "c", { retry: { maxAttempts: 5, initialBackoffMs: 1 } }),
    );
    const never = await world.run(pool.enqueue("stop", "d"));
    const own = await world.run(pool.enqueue("own", "e"));
    for (const id of [three, once, five, never, own]) {
      expect((await world.run(pool.result(id))).kind).toBe("failed");
    }
    expect(Object.fromEntries(attempts)).toEqual({ a: 3, b: 1, c: 5, d: 1 });
    const result = await world.run(pool.result(three));
    expect(result).toMatchObject({ error: { name: "Error", message: "no a" } });
    const letters = await world.run(pool.deadLetters.list());
    expect(letters).toHaveLength(5);
    expect(letters.find(({ itemId }) => itemId === three)).toMatchObject({
      item: { name: "fail", args: "a" },
      attempts: 3,
    });
    expect(letters.find(({ itemId }) => itemId === own)).toMatchObject({ attempts: 1 });
  });

  test("checks arguments at enqueue, and makes them again before the handler", async () => {
    const world = await World.on(home);
    const seen: unknown[] = [];
    const { pool } = await world.started((bw) =>
      bw.pool({
        name: "p",
        handlers: {
          count: task({ schema: storedNumber, handler: async (args) => void seen.push(args) }),
        },
      }),
    );
    const id = await world.run(pool.enqueue("count", "12"));
    await world.run(pool.result(id));
    expect(seen).toEqual([12]);
    const refused = pool.enqueue("count", "many").catch((error: unknown) => error);
    expect(hasCode(await world.run(refused), "ITEM_INVALID")).toBe(true);
    expect(await world.run(pool.stats())).toMatchObject({ waiting: 0, running: 0 });
  });

  test("fails at once what its schema refuses by the time it runs", async () => {
    const world = await World.on(home);
    let most = 10;
    const schema = {
      "~standard": {
        types: undefined as { input: number; output: number } | undefined,
        version: 1 as const,
        vendor: "test",
        validate: (value: unknown) =>
          (value as number) <= most ? { value: value as number } : { issues: [{ message: "!" }] },
      },
    };
    const run: number[] = [];
    const { pool } = await world.started((bw) =>
      bw.pool({
        name: "p",
        retry: true,
        maxParallelism: 0,
        handlers: { small: { schema, handler: async (n: number) => void run.push(n) } },
      }),
    );
    const id = await world.run(pool.enqueue("small", 9));
    most = 5;
    await world.run(pool.config.update({ maxParallelism: 1 }));
    expect(await world.run(pool.result(id))).toMatchObject({
      kind: "failed",
      error: { code: "ITEM_INVALID" },
    });
    expect(run).toEqual([]);
  });

  test("runs a task no earlier than it is told to", async () => {
    const world = await World.on(home);
    const startedAt = new Map<string, number>();
    const { pool } = await world.started((bw) =>
      bw.pool({
        name: "p",
        handlers: { note: async (who: string) => void startedAt.set(who, world.now) },
      }),
    );
    const from = world.now;
    const at = new Date(world.clock.wallMs() + 5000);
    await world.run(pool.enqueue("note", "after", { runAfter: 3000 }));
    await world.run(pool.enqueue("note", "at", { runAt: at }));
    await world.run(pool.enqueue("note", "past", { runAt: 0 }));
    await world.until(() => startedAt.size === 3, 50);
    expect(startedAt.get("after")).toBeGreaterThanOrEqual(from + 3000);
    expect(startedAt.get("at")).toBeGreaterThanOrEqual(from + 5000);
    expect(startedAt.get("past")).toBeLessThan(from + 3000);
  });

  test("stores a task once under one key, and refuses another one under it", async () => {
    const world = await World.on(home);
    const runs: number[] = [];
    const { pool } = await world.started((bw) =>
      bw.pool({ name: "p", handlers: { add: async (n: number) => void runs.push(n) } }),
    );
    const key = { idempotencyKey: "a" };
    const [first, second] = await world.run(
      Promise.all([
        pool.enqueue("add", 1, key),
        pool.enqueue("add", 1, { ...key, runAfter: 1000 }),
      ]),
    );
    expect(second).toBe(first);
    const conflict = pool.enqueue("add", 2, key).catch((error: unknown) => error);
    expect(hasCode(await world.run(conflict), "KEY_CONFLICT")).toBe(true);
    const byArgs = { idempotencyKey: (n: number) => `n${n % 2}` };
    const ids = await world.run(pool.enqueueBatch("add", [4, 5], byArgs));
    expect(new Set(ids).size).toBe(2);
    await world.run(pool.result(ids[1] as string));
    await world.run(pool.result(first));
    expect(runs.toSorted((a, b) => a - b)).toEqual([1, 4, 5]);
  });

  test("is one pool in every process, and keeps its tasks for the next one", async () => {
    const world = await World.on(home);
    const producer = world.process();
    const handlers = { twice: async (n: number) => n * 2 };
    const idle = producer.bw.pool({ name: "p", handlers });
    const id = await world.run(idle.enqueue("twice", 21));
    await world.run(producer.bw.stop());
    const { pool } = await world.started((bw) => bw.pool({ name: "p", handlers }));
    expect(await world.run(pool.result(id))).toEqual({ kind: "success", returnValue: 42 });
  });
});
