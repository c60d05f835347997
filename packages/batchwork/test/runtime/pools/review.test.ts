/** What reviewers asked of a proposed pool like this one, point by point. */
import { describe, expect, test } from "vitest";

import { hasCode, type Batchwork } from "../../../src/index.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { homes, Busy, numbers, World } from "./world.ts";

/** Counts the calls of a storage from now on. */
function countCalls(storage: object, counts: Map<string, number>, prefix = ""): void {
  const methods = new Set<string>();
  for (
    let proto: object | null = storage;
    proto !== null;
    proto = Object.getPrototypeOf(proto) as object | null
  ) {
    for (const name of Object.getOwnPropertyNames(proto)) methods.add(name);
  }
  for (const name of methods) {
    const value: unknown = Reflect.get(storage, name);
    if (typeof value !== "function" || name === "constructor" || name in Object.prototype) continue;
    const method = value.bind(storage) as (...args: unknown[]) => unknown;
    Object.defineProperty(storage, name, {
      configurable: true,
      value: (...args: unknown[]): unknown => {
        counts.set(prefix + name, (counts.get(prefix + name) ?? 0) + 1);
        return method(...args);
      },
    });
  }
}

describe.each(homes())("what was asked of pools, on $name", (home) => {
  test("one large task never grinds the rest to a halt", async () => {
    const world = await World.on(home);
    const { pool } = await world.started((bw) =>
      bw.pool({
        name: "p",
        maxParallelism: 100,
        maxBytesPerWorker: 100_000,
        handlers: { size: async (text: string) => text.length, echo: async (s: string) => s },
      }),
    );
    const sizes = [10, 200_000, 20, 200_000, 30];
    const ids = await world.run(
      pool.enqueueBatch(
        "size",
        sizes.map((size) => "x".repeat(size)),
      ),
    );
    const results = await Promise.all(ids.map(async (id) => world.run(pool.result(id))));
    expect(results).toEqual(sizes.map((size) => ({ kind: "success", returnValue: size })));
    // What is too large to be kept fails that task alone.
    const many = await world.run(pool.enqueueBatch("echo", ["a", "é".repeat(131_000), "b"]));
    const [a, large, b] = await Promise.all(many.map(async (id) => world.run(pool.result(id))));
    expect([a, b]).toEqual(["a", "b"].map((returnValue) => ({ kind: "success", returnValue })));
    expect(large?.kind).toBe("success");
  });

  test("a result that cannot be kept fails its task and no other one", async () => {
    const world = await World.on(home);
    const { pool } = await world.started((bw) =>
      bw.pool({
        name: "p",
        retry: true,
        handlers: {
          make: async (n: number): Promise<unknown> => [1, () => undefined, "x".repeat(300_000)][n],
        },
      }),
    );
    const ids = await world.run(pool.enqueueBatch("make", [0, 1, 2, 0]));
    const results = await Promise.all(ids.map(async (id) => world.run(pool.result(id))));
    expect(results).toMatchObject([
      { kind: "success", returnValue: 1 },
      { kind: "failed", error: { code: "ITEM_INVALID" } },
      { kind: "failed", error: { code: "ITEM_TOO_LARGE" } },
      { kind: "success", returnValue: 1 },
    ]);
  });

  test("enqueue is one append and nothing else, and never writes the configuration", async () => {
    const world = await World.on(home);
    const { bw, storage } = world.process();
    const pool = bw.pool({ name: "p", maxParallelism: 7, handlers: { run: async () => 1 } });
    await world.run(pool.stats());
    const counts = new Map<string, number>();
    countCalls(storage, counts);
    countCalls(storage.pools, counts, "pools.");
    await world.run(Promise.all(numbers(50).map(async () => pool.enqueue("run"))));
    await world.run(
      pool.enqueueBatch(
        "run",
        Array.from({ length: 2000 }, () => undefined),
      ),
    );
    const made = [...counts.keys()].filter((name) => !["announce", "changed"].includes(name));
    expect(made.filter((name) => name !== "reserve")).toEqual(["append"]);
    expect(counts.get("append")).toBe(2);
  });

  test("two definitions that differ do not fight over the configuration", async () => {
    const world = await World.on(home);
    const busy = new Busy();
    const define = (maxParallelism: number) => (bw: Batchwork) =>
      bw.pool({ name: "p", maxParallelism, handlers: { hold: busy.handler } });
    const first = await world.started(define(1));
    await world.run(first.pool.config.update({ maxParallelism: 2 }));
    const second = await world.started(define(50));
    for (const { pool } of [first, second, first, second]) {
      await world.run(pool.enqueueBatch("hold", numbers(3)));
      expect(await world.run(pool.config.get())).toEqual({ maxParallelism: 2 });
    }
    await world.until(() => busy.running === 2);
    await world.advance(1000);
    expect(busy.most).toBe(2);
    await world.run(first.pool.cancelAll());
    busy.release();
  });

  test("unknown handlers fail clearly and leak nothing", async () => {
    const world = await World.on(home);
    const producer = world.process();
    const old = producer.bw.pool({
      name: "p",
      retry: true,
      handlers: { send: async (n: number) => n, gone: async (n: number) => n },
    });
    const ids = await world.run(old.enqueueBatch("gone", [1, 2]));
    const known = await world.run(old.enqueue("send", 3));
    const { pool } = await world.started((bw) =>
      bw.pool({ name: "p", retry: true, handlers: { send: async (n: number) => n } }),
    );
    for (const id of ids) {
      expect(await world.run(pool.result(id))).toMatchObject({
        kind: "failed",
        error: { code: "HANDLER_UNKNOWN" },
      });
    }
    expect(await world.run(pool.result(known))).toEqual({ kind: "success", returnValue: 3 });
    expect(await world.run(pool.stats())).toMatchObject({
      running: 0,
      waiting: 0,
      delayed: 0,
      dead: 2,
    });
    // @ts-expect-error -- there is no such handler
    const refused = pool.enqueue("gone", 1).catch((error: unknown) => error);
    expect(hasCode(await world.run(refused), "HANDLER_UNKNOWN")).toBe(true);
  });

  test("background work leaves turns of the event loop to the foreground", async () => {
    const world = await World.on(home);
    let turns = 0;
    let counting = true;
    const count = (): void => {
      turns++;
      if (counting) systemClock.soon(count);
    };
    const seen = new Set<number>();
    const ids: string[] = [];
    const { pool } = await world.started((bw) =>
      bw.pool({
        name: "p",
        maxParallelism: 0,
        maxConcurrencyPerWorker: 5000,
        handlers: { note: async (_: number) => void seen.add(turns) },
      }),
    );
    ids.push(...(await world.run(pool.enqueueBatch("note", numbers(5000)))));
    count();
    await world.run(pool.config.update({ maxParallelism: 5000 }));
    await world.run(pool.result(ids.at(-1) as string));
    counting = false;
    expect(seen.size).toBeGreaterThanOrEqual(10);
  });
});
