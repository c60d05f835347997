/** `deduplicateBy` on PostgreSQL, where adds and claims of many run side by side. */
import pg from "pg";
import { expect, onTestFinished, test } from "vitest";

import { Batchwork, type Batch } from "../../../src/index.ts";
import { postgres } from "../../../src/storage/postgres/index.ts";
import { describePostgres, testDatabase } from "../../postgres/database.ts";

interface Event {
  readonly id: number;
  readonly part: number;
}

describePostgres("deduplicateBy on PostgreSQL", () => {
  const { url, pool } = testDatabase();

  function engine(
    name: string,
    maxSize: number,
    delivered: Event[][],
  ): { readonly bw: Batchwork; readonly batch: Batch<Event> } {
    const own = new pg.Pool({ connectionString: url, max: 5 });
    const bw = new Batchwork({ storage: postgres({ pool: own }), tickIntervalMs: 200 });
    onTestFinished(async () => {
      await bw.stop({ graceMs: 5000 });
      await own.end();
    });
    const batch = bw.batch<Event>({
      name,
      maxSize,
      maxWaitMs: 3_600_000,
      deduplicateBy: ({ id }) => String(id),
      handler: (ctx) => void delivered.push([...ctx.batch]),
    });
    return { bw, batch };
  }

  test("of what two processes add at once, one of each key is handed over", async () => {
    const delivered: Event[][] = [];
    const engines = [engine("once", 500, delivered), engine("once", 500, delivered)] as const;
    await Promise.all(
      Array.from({ length: 40 }, async (_, part) => {
        const { batch } = engines[part % 2] as (typeof engines)[0];
        const items = Array.from({ length: 50 }, (_item, n) => ({
          id: (n * 7 + part) % 100,
          part,
        }));
        await batch.addBulk(items);
      }),
    );
    expect(await engines[0].batch.getBufferSize()).toBe(100);
    await Promise.all(engines.map(async ({ bw }) => bw.start()));
    await engines[1].batch.flush();
    const ids = delivered.flat().map(({ id }) => id);
    expect(ids.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, n) => n));
    expect(await engines[1].batch.getBufferSize()).toBe(0);
  });

  test("while batches are sealed, no batch has a key twice and no key is lost", async () => {
    const delivered: Event[][] = [];
    const engines = [engine("busy", 20, delivered), engine("busy", 20, delivered)] as const;
    await Promise.all(engines.map(async ({ bw }) => bw.start()));
    for (let part = 0; part < 30; part++) {
      await Promise.all(
        engines.map(async ({ batch }) =>
          batch.addBulk(Array.from({ length: 30 }, (_, n) => ({ id: (n * part) % 60, part }))),
        ),
      );
    }
    await engines[0].batch.flush();
    for (const batch of delivered) {
      expect(new Set(batch.map(({ id }) => id)).size).toBe(batch.length);
    }
    const added = new Set(
      Array.from({ length: 30 }, (_, part) =>
        Array.from({ length: 30 }, (_item, n) => (n * part) % 60),
      ).flat(),
    );
    expect(new Set(delivered.flat().map(({ id }) => id))).toEqual(added);
  });

  test("nothing of it is left when everything was handed over", async () => {
    const delivered: Event[][] = [];
    const { bw, batch } = engine("clean", 7, delivered);
    await bw.start();
    for (let part = 0; part < 10; part++) {
      await batch.addBulk(Array.from({ length: 20 }, (_, n) => ({ id: n % 9, part })));
    }
    await batch.drain();
    for (const table of ["dedup_keys", "payloads", "inbox", "waiting", "members"]) {
      const { rows } = await pool.query(`SELECT count(*)::int AS n FROM batchwork.${table}`);
      expect(rows, table).toEqual([{ n: 0 }]);
    }
  });

  test("the user's transaction decides whether items hold their keys", async () => {
    const delivered: Event[][] = [];
    const { bw, batch } = engine("within", 10, delivered);
    await bw.start();
    const client = await pool.connect();
    try {
      await client.query("BEGIN");
      await batch.addBulk([{ id: 1, part: 0 }], { tx: client });
      await client.query("ROLLBACK");
      await client.query("BEGIN");
      await batch.addBulk(
        [1, 1, 2].map((id, part) => ({ id, part })),
        { tx: client },
      );
      await client.query("COMMIT");
    } finally {
      client.release();
    }
    await batch.flush();
    expect(delivered).toEqual([
      [
        { id: 1, part: 0 },
        { id: 2, part: 2 },
      ],
    ]);
  });
});
