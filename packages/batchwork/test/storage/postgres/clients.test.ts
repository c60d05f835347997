/** Adding in a transaction that another library opened, and other libraries inside `ctx.tx`. */
import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { drizzle as drizzleOverPostgresJs } from "drizzle-orm/postgres-js";
import { integer, pgTable } from "drizzle-orm/pg-core";
import { CamelCasePlugin, Kysely, PostgresDialect } from "kysely";
import pg from "pg";
import postgresJs from "postgres";
import { expect, onTestFinished, test } from "vitest";

import { Batchwork, type Batch, type BatchContext } from "../../../src/index.ts";
import {
  postgres,
  type PostgresTransaction,
  type PostgresTx,
} from "../../../src/storage/postgres/index.ts";
import { describePostgres, testDatabase } from "../../postgres/database.ts";

interface Order {
  readonly id: number;
  readonly text?: string;
}

/** Table of the user's own, for each of them. */
interface Tables {
  readonly effects: { readonly id: number };
}

const effects = pgTable("effects", { id: integer("id").notNull() });

class RolledBackError extends Error {
  override readonly name = "RolledBackError";
}

/** What a library has to do: run `work` in a transaction, and something outside of any. */
interface Library {
  readonly name: string;
  readonly open: (url: string) => {
    readonly transaction: (work: (tx: PostgresTransaction) => Promise<void>) => Promise<unknown>;
    readonly outside: PostgresTransaction;
    readonly end: () => Promise<unknown>;
  };
}

const LIBRARIES: readonly Library[] = [
  {
    name: "node-postgres",
    open: (url) => {
      const pool = new pg.Pool({ connectionString: url, max: 2 });
      return {
        outside: pool,
        end: async () => pool.end(),
        transaction: async (work) => {
          const client = await pool.connect();
          await client.query("BEGIN");
          try {
            await work(client);
            await client.query("COMMIT");
          } catch (error) {
            await client.query("ROLLBACK");
            throw error;
          } finally {
            client.release();
          }
        },
      };
    },
  },
  {
    name: "Drizzle",
    open: (url) => {
      const pool = new pg.Pool({ connectionString: url, max: 2 });
      const db = drizzle({ client: pool });
      return {
        outside: db,
        end: async () => pool.end(),
        transaction: async (work) => db.transaction(async (tx) => work(tx)),
      };
    },
  },
  {
    name: "Drizzle over postgres.js",
    open: (url) => {
      const client = postgresJs(url, { max: 2, onnotice: () => undefined });
      const db = drizzleOverPostgresJs({ client });
      return {
        outside: db,
        end: async () => client.end(),
        transaction: async (work) => db.transaction(async (tx) => work(tx)),
      };
    },
  },
  {
    name: "Kysely",
    open: (url) => {
      const pool = new pg.Pool({ connectionString: url, max: 2 });
      const plugins = [new CamelCasePlugin()];
      const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }), plugins });
      return {
        outside: db,
        end: async () => db.destroy(),
        transaction: async (work) => db.transaction().execute(async (trx) => work(trx)),
      };
    },
  },
  {
    name: "postgres.js",
    open: (url) => {
      const client = postgresJs(url, {
        max: 2,
        fetch_types: false,
        transform: postgresJs.camel,
        onnotice: () => undefined,
      });
      return {
        outside: client,
        end: async () => client.end(),
        transaction: async (work) => client.begin(async (tx) => work(tx)),
      };
    },
  },
];

describePostgres("a transaction of another library", () => {
  const { pool, url } = testDatabase();

  /** A queue whose handler notes what it gets. */
  async function started(name: string): Promise<{ batch: Batch<Order>; found: Order[] }> {
    const bw = new Batchwork({ storage: postgres({ pool }) });
    const found: Order[] = [];
    const handler = (ctx: BatchContext<Order>): void => void found.push(...ctx.batch);
    const batch = bw.batch<Order>({ name, maxSize: 1000, maxWaitMs: 10, handler });
    onTestFinished(async () => bw.stop({ graceMs: 5000 }));
    await bw.start();
    return { batch, found };
  }

  test.for(LIBRARIES)("$name: an add commits and rolls back with it", async ({ name, open }) => {
    const { batch, found } = await started(nameOf(name));
    const { transaction, end } = open(url);
    onTestFinished(async () => void (await end()));
    const ids = new Set<string>();
    await transaction(async (tx) => {
      // Quotes and the like go through each library's own way of writing values.
      ids.add((await batch.add({ id: 1, text: `{"',\\\n\u{1F600}}` }, { tx })).id);
      ids.add((await batch.add({ id: 2 }, { tx })).id);
      await batch.flush();
      expect(found).toEqual([]);
      expect(await batch.getBufferSize()).toBe(0);
    });
    await batch.flush();
    expect(found).toEqual([{ id: 1, text: `{"',\\\n\u{1F600}}` }, { id: 2 }]);
    expect(ids.size).toBe(2);
    const rolledBack = transaction(async (tx) => {
      await batch.add({ id: 3 }, { tx });
      throw new RolledBackError();
    });
    await expect(rolledBack).rejects.toBeInstanceOf(RolledBackError);
    await batch.flush();
    expect(found).toHaveLength(2);
  });

  test.for(LIBRARIES)("$name: what is no open transaction is refused", async ({ name, open }) => {
    const { batch } = await started(`${nameOf(name)}-outside`);
    const { transaction, outside, end } = open(url);
    onTestFinished(async () => void (await end()));
    await expect(batch.add({ id: 1 }, { tx: outside })).rejects.toMatchObject({
      code: "TX_MISMATCH",
      field: "tx",
    });
    let kept: PostgresTransaction | undefined;
    await transaction(async (tx) => {
      kept = tx;
    });
    await expect(batch.add({ id: 2 }, { tx: kept })).rejects.toHaveProperty("code");
    expect(await batch.getBufferSize()).toBe(0);
  });

  test("what is no transaction of anything is refused with what would be one", async () => {
    const { batch } = await started("nonsense");
    for (const tx of [undefined, null, 1, "tx", {}, { _: {} }, { _: undefined }, () => 1]) {
      await expect(batch.add({ id: 1 }, { tx })).rejects.toMatchObject({
        code: "TX_MISMATCH",
        message: expect.stringContaining("Drizzle, Kysely or postgres.js") as unknown,
      });
    }
  });

  test("Drizzle and Kysely work inside ctx.tx, and commit with the acknowledgement", async () => {
    await pool.query("CREATE TABLE IF NOT EXISTS effects (id int NOT NULL)");
    const bw = new Batchwork({ storage: postgres({ pool }) });
    onTestFinished(async () => bw.stop({ graceMs: 5000 }));
    const follow: number[] = [];
    const next = bw.batch<Order>({
      name: "inside-next",
      maxSize: 10,
      maxWaitMs: 10,
      handler: (ctx) => void follow.push(...ctx.batch.map(({ id }) => id)),
    });
    const failures: unknown[] = [];
    let tries = 0;
    const batch = bw.batch<Order>({
      name: "inside",
      maxSize: 10,
      maxWaitMs: 10,
      retries: { max: 1, baseDelay: 1 },
      handler: async (ctx) => {
        await ctx.tx(async (tx: PostgresTx) => {
          const db = drizzle({ client: tx as unknown as pg.PoolClient });
          await db.insert(effects).values([{ id: 1 }, { id: 2 }]);
          const read = await db
            .select()
            .from(effects)
            .where(sql`${effects.id} = 2`);
          const kysely = kyselyIn(tx);
          await kysely
            .insertInto("effects")
            .values({ id: read.length + 2 })
            .execute();
          await next.add({ id: 10 }, { tx });
          await next.add({ id: 11 }, { tx: db });
          await next.add({ id: 12 }, { tx: kysely });
          failures.push(await db.transaction(async () => 1).catch((error: unknown) => error));
          if (++tries === 1) throw new Error("not yet");
        });
      },
    });
    await bw.start();
    await batch.add({ id: 1 });
    await batch.drain();
    await next.flush();
    const { rows } = await pool.query("SELECT id FROM effects ORDER BY id");
    expect(tries).toBe(2);
    expect(rows).toEqual([{ id: 1 }, { id: 2 }, { id: 3 }]);
    expect(follow).toEqual([10, 11, 12]);
    // Wrapped by the library, with ours as its cause.
    expect(JSON.stringify(failures.map((error) => codesOf(error)))).toContain("TX_OVER");
  });

  test("an open transaction with an add holds up nobody, whatever they do", async () => {
    // What waits for it for so long fails: nothing else ends the transaction meanwhile.
    const options = "-c lock_timeout=10s";
    const impatient = new pg.Pool({ connectionString: url, options, max: 5 });
    onTestFinished(async () => impatient.end());
    const bw = new Batchwork({ storage: postgres({ pool: impatient }) });
    onTestFinished(async () => bw.stop({ graceMs: 5000 }));
    const found: number[] = [];
    let fails = 1;
    const batch = bw.batch<Order>({
      name: "held-up",
      maxSize: 5,
      maxWaitMs: 10,
      groupBy: ({ id }) => `group ${id % 2}`,
      retries: { max: 1, baseDelay: 1 },
      handler: (ctx) => {
        if (fails-- > 0) throw new Error("once");
        found.push(...ctx.batch.map(({ id }) => id));
      },
    });
    await bw.start();
    const clients = [await pool.connect(), await pool.connect()] as const;
    onTestFinished(() => {
      for (const client of clients) client.release();
    });
    // Both stay open: neither waits for the other's add to the same groups.
    for (const [n, client] of clients.entries()) {
      await client.query("BEGIN");
      await batch.add({ id: 100 + n }, { tx: client });
      await batch.add({ id: 102 + n }, { tx: client });
    }
    await Promise.all(ids(40).map(async (order) => batch.add(order)));
    await batch.flush();
    await batch.pause();
    await batch.addBulk(ids(10));
    await batch.resume();
    await batch.drain();
    await batch.status();
    await batch.resume();
    expect(found.toSorted((a, b) => a - b)).toEqual(
      [...ids(40), ...ids(10)].map(({ id }) => id).toSorted((a, b) => a - b),
    );
    expect(await blocked()).toBe(0);
    for (const client of clients) await client.query("COMMIT");
    await batch.flush();
    expect(found.slice(50).toSorted((a, b) => a - b)).toEqual([100, 101, 102, 103]);
  });

  async function blocked(): Promise<number> {
    const { rows } = await pool.query<{ readonly n: number }>(
      `SELECT count(*)::int AS n FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
      WHERE NOT l.granted AND d.datname = current_database()`,
    );
    return rows[0]?.n ?? -1;
  }
});

/** Kysely on the connection of a transaction that is open already. */
function kyselyIn(tx: PostgresTx): Kysely<Tables> {
  const query: PostgresTx["query"] = async (text, values) => tx.query(text, values);
  const client = { query, release: () => undefined };
  const pool = { connect: async () => client, end: async () => undefined };
  return new Kysely<Tables>({ dialect: new PostgresDialect({ pool: pool as never }) });
}

/** As the name of a queue. */
function nameOf(library: string): string {
  return library.replaceAll(" ", "-");
}

function codesOf(error: unknown): unknown[] {
  if (!(error instanceof Error)) return [];
  return [(error as { readonly code?: unknown }).code, ...codesOf(error.cause)];
}

function ids(count: number): Order[] {
  return Array.from({ length: count }, (_, id) => ({ id }));
}
