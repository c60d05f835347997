/** A storage that fails now and then: replies that are lost, writes that never happened. */
import { describe, expect, test } from "vitest";

import { hasCode, type Completion, type Pool } from "../../../src/index.ts";
import type { FaultSchedule } from "../../../src/testing/faulty-storage.ts";
import { seededRandom } from "../../../src/testing/random.ts";
import { homes, numbers, World } from "./world.ts";

const FAILING = new Set(["pools.exchange", "pools.reconcile", "pools.findTasks"]);

/** Two in five calls of the loop fail, half of them after they took effect. */
function failing(seed: number): FaultSchedule {
  const random = seededRandom(seed);
  return ({ method }) => {
    if (!FAILING.has(method)) return undefined;
    const draw = random();
    if (draw < 0.1) return { fail: "busy" };
    if (draw < 0.2) return { fail: "before" };
    return draw < 0.4 ? { fail: "after" } : undefined;
  };
}

describe.each(homes())("a storage that fails, on $name", (home) => {
  test("costs no task its result, and runs none twice", async () => {
    const world = await World.on(home);
    const runs: number[] = [];
    const told: Completion[] = [];
    const start = async (seed: number): Promise<Pool<{ work: (n: number) => Promise<number> }>> => {
      const { pool } = await world.started(
        (bw) =>
          bw.pool({
            name: "p",
            maxParallelism: 10,
            retry: { maxAttempts: 3, initialBackoffMs: 10 },
            handlers: {
              work: async (n: number, ctx) => {
                runs.push(n);
                await world.clock.settle();
                if (n % 10 === 0 && ctx.attempt === 1) throw new Error("once");
                return n;
              },
            },
            onComplete: (completion) => void told.push(completion),
          }),
        {},
        failing(seed),
      );
      return pool;
    };
    const pool = await start(1);
    await start(2);
    const ids: string[] = [];
    for (let call = 0; call < 10; call++) {
      ids.push(
        ...(await world.run(
          pool.enqueueBatch(
            "work",
            numbers(9).map((n) => call * 9 + n + 1),
          ),
        )),
      );
    }
    await world.until(() => told.length === 90, 50);
    for (const [n, id] of ids.entries()) {
      expect(await world.run(pool.result(id))).toEqual({ kind: "success", returnValue: n + 1 });
    }
    const again = numbers(90).filter((n) => (n + 1) % 10 === 0);
    expect(runs).toHaveLength(90 + again.length);
    await world.advance(5000, 100);
    expect(await world.run(pool.stats())).toMatchObject({ running: 0, waiting: 0, delayed: 0 });
    expect(new Set(told.map(({ id }) => id)).size).toBe(90);
  });

  test("a task that cannot be stored is not, and its caller is told", async () => {
    const world = await World.on(home);
    let broken = true;
    const { pool } = await world.started(
      (bw) => bw.pool({ name: "p", handlers: { one: async () => 1 } }),
      {},
      ({ method }) => (method === "append" && broken ? { fail: "before" } : undefined),
    );
    const refused = pool.enqueue("one").catch((error: unknown) => error);
    expect(hasCode(await world.run(refused), "STORAGE_FAILED")).toBe(true);
    broken = false;
    const id = await world.run(pool.enqueue("one"));
    expect((await world.run(pool.result(id))).kind).toBe("success");
  });
});
