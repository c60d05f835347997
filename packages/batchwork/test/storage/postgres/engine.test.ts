/** Engines on PostgreSQL, end to end, on the system's clock. */
import pg from "pg";
import { expect, onTestFinished, test } from "vitest";

import { Batchwork, type BatchContext, type BatchOptions, type Batch } from "../../../src/index.ts";
import { postgres, type PostgresTx } from "../../../src/storage/postgres/index.ts";
import { describePostgres, testDatabase } from "../../postgres/database.ts";

interface Order {
  readonly id: number;
  readonly shop?: string;
}

describePostgres.each([
  { notifications: true, title: "an engine on PostgreSQL" },
  { notifications: false, title: "an engine on PostgreSQL that nobody tells anything" },
])("$title", ({ notifications }) => {
  const { pool, url } = testDatabase();

  /** An engine with connections of its own, as another process has. */
  function engine(): Batchwork {
    const own = new pg.Pool({ connectionString: url, max: 5 });
    const bw = new Batchwork({
      storage: postgres({ pool: own, notifications }),
      tickIntervalMs: 200,
    });
    onTestFinished(async () => {
      await bw.stop({ graceMs: 5000 });
      await own.end();
    });
    return bw;
  }

  function define(
    bw: Batchwork,
    options: Partial<BatchOptions<Order>> & Pick<BatchOptions<Order>, "name">,
  ): Batch<Order> {
    const base = { maxSize: 10, maxWaitMs: 20, handler: () => undefined };
    return bw.batch<Order>({ ...base, ...options });
  }

  test("items come in batches, in order, each once", async () => {
    const bw = engine();
    const sizes: number[] = [];
    const found: number[] = [];
    const orders = define(bw, {
      name: "plain",
      concurrency: 1,
      handler: (ctx: BatchContext<Order>) => {
        sizes.push(ctx.batchSize);
        found.push(...ctx.batch.map(({ id }) => id));
      },
    });
    await bw.start();
    await orders.addBulk(ids(95));
    await orders.flush();
    expect(found).toEqual(ids(95).map(({ id }) => id));
    expect(Math.max(...sizes)).toBe(10);
    expect(await orders.status()).toMatchObject({ waiting: 0, leased: 0, dead: 0 });
  });

  test("two engines share the work, and one hands over what the other took in", async () => {
    const [one, two] = [engine(), engine()];
    const found: number[] = [];
    const handler = (ctx: BatchContext<Order>): void => {
      found.push(...ctx.batch.map(({ id }) => id));
    };
    const first = define(one, { name: "shared", handler });
    define(two, { name: "shared", handler });
    await two.start();
    await first.addBulk(ids(200));
    await one.start();
    await first.flush();
    expect(found.toSorted((a, b) => a - b)).toEqual(ids(200).map(({ id }) => id));
  });

  test("a bad item is found, tried again and ends as a dead letter; the others get through", async () => {
    const bw = engine();
    const done = new Set<number>();
    const orders = define(bw, {
      name: "poison",
      onFailure: "bisect",
      retries: { max: 1, baseDelay: 5 },
      handler: (ctx: BatchContext<Order>) => {
        if (ctx.batch.some(({ id }) => id === 7)) throw new Error("seven");
        for (const { id } of ctx.batch) done.add(id);
      },
    });
    await bw.start();
    await orders.addBulk(ids(20));
    await orders.drain();
    const letters = await orders.deadLetters.list();
    expect(letters.map(({ item, attempts }) => [item, attempts])).toEqual([[{ id: 7 }, 2]]);
    expect(done.size).toBe(19);
    await orders.resume();
    expect(await orders.deadLetters.discard("all")).toBe(1);
  });

  test("what ctx.tx writes commits with the acknowledgement and the adds, or not at all", async () => {
    await pool.query("CREATE TABLE effects (id int NOT NULL)");
    const bw = engine();
    const follow: number[] = [];
    const next = define(bw, {
      name: "next",
      handler: (ctx: BatchContext<Order>) => {
        follow.push(...ctx.batch.map(({ id }) => id));
      },
    });
    let tries = 0;
    const orders = define(bw, {
      name: "effects",
      retries: { max: 1, baseDelay: 5 },
      handler: async (ctx: BatchContext<Order>) => {
        await ctx.tx(async (tx: PostgresTx) => {
          for (const { id } of ctx.batch) {
            await tx.query("INSERT INTO effects VALUES ($1)", [id]);
            await next.add({ id: id + 100 }, { tx });
          }
          if (++tries === 1) throw new Error("not yet");
        });
      },
    });
    await bw.start();
    await orders.addBulk(ids(5));
    await orders.drain();
    await next.flush();
    const { rows } = await pool.query("SELECT id FROM effects ORDER BY id");
    expect(tries).toBe(2);
    expect(rows).toEqual(ids(5));
    expect(follow).toEqual([100, 101, 102, 103, 104]);
  });

  test("an add in the user's own transaction exists if and only if that commits", async () => {
    const bw = engine();
    const found: number[] = [];
    const orders = define(bw, {
      name: "joined",
      handler: (ctx: BatchContext<Order>) => {
        found.push(...ctx.batch.map(({ id }) => id));
      },
    });
    await bw.start();
    const client = await pool.connect();
    onTestFinished(() => client.release());
    await client.query("BEGIN");
    await orders.add({ id: 1 }, { tx: client });
    await orders.add({ id: 2 });
    await orders.flush();
    expect(found).toEqual([2]);
    await client.query("COMMIT");
    await client.query("BEGIN");
    await orders.add({ id: 3 }, { tx: client });
    await client.query("ROLLBACK");
    await orders.flush();
    expect(found).toEqual([2, 1]);
    await expect(orders.add({ id: 4 }, { tx: client })).rejects.toMatchObject({
      code: "TX_MISMATCH",
    });
    // A wrapper that does not tell the state of its connection is asked another way.
    const wrapped = { query: async (query: pg.QueryConfig) => client.query(query) };
    await expect(orders.add({ id: 5 }, { tx: wrapped })).rejects.toMatchObject({
      code: "TX_MISMATCH",
    });
    await expect(orders.add({ id: 6 }, { tx: pool })).rejects.toMatchObject({
      code: "TX_MISMATCH",
    });
    expect(await orders.getBufferSize()).toBe(0);
    await client.query("BEGIN");
    await orders.add({ id: 7 }, { tx: wrapped });
    await client.query("COMMIT");
    await orders.flush();
    expect(found).toEqual([2, 1, 7]);
  });

  test("groups keep their order, one batch at a time, over two engines", async () => {
    const engines = [engine(), engine()];
    const found = new Map<string, number[]>();
    const running = new Set<string>();
    const queues = engines.map((bw) =>
      define(bw, {
        name: "grouped",
        groupBy: ({ shop }) => shop as string,
        handler: async (ctx: BatchContext<Order>) => {
          const shop = ctx.groupKey as string;
          expect(running.has(shop)).toBe(false);
          running.add(shop);
          await pool.query("SELECT 1");
          found.set(shop, [...(found.get(shop) ?? []), ...ctx.batch.map(({ id }) => id)]);
          running.delete(shop);
        },
      }),
    );
    const [orders] = queues as [Batch<Order>];
    for (const bw of engines) await bw.start();
    const items = ids(300).map(({ id }) => ({ id, shop: `shop ${id % 3}` }));
    for (let n = 0; n < items.length; n += 30) await orders.addBulk(items.slice(n, n + 30));
    await orders.flush();
    for (let shop = 0; shop < 3; shop++) {
      const expected = items.filter(({ id }) => id % 3 === shop).map(({ id }) => id);
      expect(found.get(`shop ${shop}`)).toEqual(expected);
    }
  });
});

function ids(count: number): Order[] {
  return Array.from({ length: count }, (_, id) => ({ id }));
}
