/** Tasks in transactions of the user's: they exist if and only if those commit. */
import { describe, expect, test } from "vitest";

import { hasCode, type BatchContext, type Facade } from "../../../src/index.ts";
import { homes, numbers, World } from "./world.ts";

const databases = homes().filter(({ durable }) => durable);

describe.each(databases)("tasks in a transaction on $name", (home) => {
  test("a task of a transaction runs once that commits, and never where it is rolled back", async () => {
    const world = await World.on(home);
    const runs: number[] = [];
    const { pool } = await world.started((bw) =>
      bw.pool({ name: "p", handlers: { note: async (n: number) => void runs.push(n) } }),
    );
    const ids: string[] = [];
    await world.run(
      world.transaction(async (tx) => {
        ids.push(await pool.enqueue("note", 1, { tx }));
        ids.push(...(await pool.enqueueBatch("note", [2, 3], { tx, priority: 1 })));
        ids.push(await pool.enqueue("note", 4, { tx, idempotencyKey: "four" }));
        expect(runs).toEqual([]);
      }),
    );
    await world.run(
      world.transaction(async (tx) => {
        ids.push(await pool.enqueue("note", 99, { tx }));
      }, "ROLLBACK"),
    );
    for (const id of ids.slice(0, 4)) await world.run(pool.result(id));
    expect(new Set(runs)).toEqual(new Set([1, 2, 3, 4]));
    expect(await world.run(pool.status(ids[4] as string))).toBe("unknown");
    await world.advance(3000);
    expect(runs).toHaveLength(4);
  });

  test("a task that names no handler leaves the transaction as it was", async () => {
    const world = await World.on(home);
    const { pool } = await world.started((bw) =>
      bw.pool({ name: "p", handlers: { note: async (n: number) => n } }),
    );
    let refused: unknown;
    await world.run(
      world.transaction(async (tx) => {
        // @ts-expect-error -- no such handler
        refused = await pool.enqueue("nothing", 1, { tx }).catch((error: unknown) => error);
        await pool.enqueue("note", 2, { tx });
      }),
    );
    expect(hasCode(refused, "HANDLER_UNKNOWN")).toBe(true);
    await world.until(async () => (await world.run(pool.stats())).keys === 0);
  });
});

describe.each(databases.filter(({ name }) => name === "sqlite"))(
  "tasks written at once, on $name",
  (home) => {
    test("enqueueSync stores tasks in ctx.tx of a batch, with its end", async () => {
      const world = await World.on(home);
      const runs: number[] = [];
      const { pool } = await world.started((bw) => {
        const tasks = bw.pool({
          name: "tasks",
          handlers: { note: async (n: number) => void runs.push(n) },
        });
        const batch = bw.batch<number>({
          name: "batch",
          maxSize: 10,
          maxWaitMs: 0,
          retries: { max: 1, strategy: "fixed", baseDelay: 10 },
          handler: async (ctx: BatchContext<number>) => {
            await ctx.tx((tx: Facade) => {
              for (const n of ctx.batch) tasks.enqueueSync("note", n, { tx });
              if (ctx.attempt === 1) throw new Error("rolled back");
            });
          },
        });
        return { tasks, batch };
      });
      await world.run(pool.batch.addBulk(numbers(5)));
      await world.until(() => runs.length === 5);
      await world.advance(2000);
      expect(runs.toSorted((a, b) => a - b)).toEqual(numbers(5));
    });
  },
);
