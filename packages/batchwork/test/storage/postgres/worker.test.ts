/** Workers on PostgreSQL: asynchronous functions, several processes, transactions that stay open. */
import pg from "pg";
import { expect, onTestFinished, test } from "vitest";

import { Batchwork, type AsyncFacade, type Work, type Worker } from "../../../src/index.ts";
import { postgres } from "../../../src/storage/postgres/index.ts";
import { describePostgres, testDatabase } from "../../postgres/database.ts";
import { numbers } from "./fixture.ts";

describePostgres("a worker on PostgreSQL", () => {
  const { pool, url } = testDatabase();
  let tables = 0;

  function engine(options: { readonly leaseMs?: number; readonly heartbeatMs?: number } = {}): {
    readonly bw: Batchwork;
    readonly warnings: readonly string[];
  } {
    const own = new pg.Pool({ connectionString: url, max: 5 });
    own.on("error", () => undefined);
    const warnings: string[] = [];
    const logger = {
      debug: () => undefined,
      info: () => undefined,
      warn: (message: string) => void warnings.push(message),
      error: (message: string) => void warnings.push(message),
    };
    const storage = postgres({ pool: own });
    const bw = new Batchwork({ storage, tickIntervalMs: 200, logger, ...options });
    onTestFinished(async () => {
      await bw.stop({ graceMs: 2000 });
      await own.end();
    });
    return { bw, warnings };
  }

  /** A table of jobs, and a worker's functions on it. */
  async function jobs(before: () => Promise<unknown> = async () => undefined): Promise<{
    readonly table: string;
    readonly functions: {
      readonly name: string;
      readonly query: (tx: AsyncFacade) => Promise<Work<number[]>>;
      readonly process: (tx: AsyncFacade, ids: number[]) => Promise<void>;
    };
    readonly insert: (ids: readonly number[]) => Promise<unknown>;
    readonly done: () => Promise<number[]>;
  }> {
    const table = `jobs_${tables++}`;
    await pool.query(`CREATE TABLE ${table} (id int PRIMARY KEY)`);
    await pool.query(`CREATE TABLE ${table}_done (n serial, id int)`);
    const functions = {
      name: table,
      query: async (tx: AsyncFacade): Promise<Work<number[]>> => {
        const found = await tx.query<{ id: number }>(
          `SELECT id FROM ${table} ORDER BY id LIMIT 10`,
        );
        const batch = found.rows.map(({ id }) => id);
        return batch.length === 0 ? { kind: "idle", cooldownMs: 0 } : { kind: "work", batch };
      },
      process: async (tx: AsyncFacade, ids: number[]) => {
        await tx.query(`DELETE FROM ${table} WHERE id = ANY ($1)`, [ids]);
        await tx.query(`INSERT INTO ${table}_done (id) SELECT unnest($1::int[])`, [ids]);
        await before();
      },
    };
    const insert = async (ids: readonly number[]): Promise<unknown> =>
      pool.query(`INSERT INTO ${table} SELECT unnest($1::int[])`, [ids]);
    const done = async (): Promise<number[]> => {
      const { rows } = await pool.query(`SELECT id FROM ${table}_done ORDER BY id`);
      return rows.map(({ id }: { id: number }) => id);
    };
    return { table, functions, insert, done };
  }

  const idle = async (worker: Worker<unknown>): Promise<void> => {
    await expect.poll(async () => (await worker.status()).status, { timeout: 15_000 }).toBe("idle");
  };

  test("batches are processed once, whichever process has the loop, and pings wake it", async () => {
    const { functions, insert, done } = await jobs();
    await insert(numbers(25));
    const engines = numbers(3).map(() => engine());
    const workers = engines.map(({ bw }) => bw.worker(functions));
    await Promise.all(engines.map(async ({ bw }) => bw.start()));
    await expect.poll(done, { timeout: 15_000 }).toEqual(numbers(25));
    for (const id of numbers(12, 25)) {
      await insert([id]);
      await workers[id % 3]?.ping();
    }
    await expect.poll(done, { timeout: 15_000 }).toEqual(numbers(37));
    await idle(workers[0] as Worker<unknown>);
    expect((await workers[0]?.stats())?.items).toBe(37);
  });

  test("a ping in a transaction counts when that commits, however long it stays open", async () => {
    const { table, functions, insert, done } = await jobs();
    const { bw } = engine();
    const worker = bw.worker(functions);
    await bw.start();
    await idle(worker);
    const client = await pool.connect();
    try {
      await client.query("BEGIN");
      await worker.ping({ tx: client });
      await client.query(`INSERT INTO ${table} VALUES (1)`);
      // Somebody else's work is not held up by it, and the loop comes to rest again.
      await insert([2]);
      await worker.ping();
      await expect.poll(done, { timeout: 15_000 }).toEqual([2]);
      await client.query("COMMIT");
      await expect.poll(done, { timeout: 15_000 }).toEqual([1, 2]);
      await client.query("BEGIN");
      await client.query(`INSERT INTO ${table} VALUES (3)`);
      await worker.ping({ tx: client });
      await client.query("ROLLBACK");
    } finally {
      client.release();
    }
    await idle(worker);
    expect(await done()).toEqual([1, 2]);
  });

  test("no ping is lost between many transactions and a loop that keeps going idle", async () => {
    const { table, functions, done } = await jobs();
    const { bw } = engine();
    const worker = bw.worker(functions);
    await bw.start();
    const writer = async (first: number): Promise<void> => {
      const client = await pool.connect();
      try {
        for (let id = first; id < 120; id += 4) {
          await client.query("BEGIN");
          // Before the row and after it: either way the loop must not miss it.
          if (id % 2 === 0) await worker.ping({ tx: client });
          await client.query(`INSERT INTO ${table} VALUES ($1)`, [id]);
          if (id % 2 === 1) await worker.ping({ tx: client });
          if (id % 3 === 0) await client.query("SELECT pg_sleep(0.01)");
          await client.query("COMMIT");
        }
      } finally {
        client.release();
      }
    };
    await Promise.all(numbers(4).map(writer));
    await expect.poll(done, { timeout: 20_000 }).toEqual(numbers(120));
  });

  test("an owner that was taken for dead writes nothing, and its heir processes it once", async () => {
    let hold: PromiseWithResolvers<void> | undefined = Promise.withResolvers<void>();
    const entered = Promise.withResolvers<void>();
    const { functions, insert, done } = await jobs(async () => {
      const held = hold;
      hold = undefined;
      entered.resolve();
      await held?.promise;
    });
    const first = hold;
    const slow = engine({ leaseMs: 600_000, heartbeatMs: 200_000 });
    slow.bw.worker(functions);
    await insert([1, 2, 3]);
    await slow.bw.start();
    await entered.promise;
    // As the others see a process that does not beat any more.
    await pool.query("UPDATE batchwork.incarnations SET expires_at = 0");
    const heir = engine();
    const worker = heir.bw.worker(functions);
    await heir.bw.start();
    // The rows that the slow one has deleted, and not committed, hold its heir up.
    await expect.poll(async () => (await worker.status()).generation, { timeout: 15_000 }).toBe(2);
    first.resolve();
    await expect.poll(done, { timeout: 15_000 }).toEqual([1, 2, 3]);
    await idle(worker);
    expect(await done()).toEqual([1, 2, 3]);
  });

  test("one bad item is isolated, and dies alone in a transaction of its own", async () => {
    const { table, functions, insert, done } = await jobs();
    const { bw, warnings } = engine();
    await insert(numbers(10));
    const worker = bw.worker({
      ...functions,
      retries: { max: 1, baseDelay: 10 },
      process: async (tx: AsyncFacade, ids: number[]) => {
        await functions.process(tx, ids);
        if (ids.includes(4)) await tx.query("SELECT 1 / 0");
      },
      setAside: async (tx: AsyncFacade, ids: readonly number[]) => {
        await tx.query(`DELETE FROM ${table} WHERE id = ANY ($1)`, [ids]);
      },
    });
    await bw.start();
    await expect
      .poll(async () => worker.deadLetters.list(), { timeout: 15_000 })
      .toMatchObject([
        { item: 4, attempts: 2, error: { message: expect.stringContaining("division") as string } },
      ]);
    await expect.poll(done, { timeout: 15_000 }).toEqual(numbers(10).filter((id) => id !== 4));
    expect(warnings).toEqual(["A worker gave something up: it is a dead letter."]);
  });

  test("pingSync is refused: PostgreSQL writes nothing before it returns", async () => {
    const { functions } = await jobs();
    const { bw } = engine();
    const worker = bw.worker(functions);
    await bw.start();
    expect(() => worker.pingSync({ tx: pool })).toThrow(
      expect.objectContaining({ code: "TX_UNSUPPORTED" }),
    );
  });
});
