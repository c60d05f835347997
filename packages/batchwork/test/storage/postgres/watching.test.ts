/** Hooks, events and schemas on PostgreSQL, where adds in transactions are asynchronous. */
import pg from "pg";
import { expect, onTestFinished, test } from "vitest";
import * as z from "zod";

import { Batchwork } from "../../../src/index.ts";
import { postgres } from "../../../src/storage/postgres/index.ts";
import { describePostgres, testDatabase } from "../../postgres/database.ts";

describePostgres("watching an engine on PostgreSQL", () => {
  const { pool, url } = testDatabase();

  function engine(): Batchwork {
    const own = new pg.Pool({ connectionString: url, max: 5 });
    const bw = new Batchwork({ storage: postgres({ pool: own }), tickIntervalMs: 200 });
    onTestFinished(async () => {
      await bw.stop({ graceMs: 5000 });
      await own.end();
    });
    return bw;
  }

  test("hooks and events tell of every attempt, in order", async () => {
    const bw = engine();
    const told: unknown[] = [];
    const batch = bw.batch<number, string>({
      name: "watched",
      maxSize: 3,
      maxWaitMs: 20,
      retries: { max: 1, baseDelay: 10 },
      handler: (ctx) => {
        if (ctx.attempt === 1) throw new Error("no luck");
        return "sent";
      },
      hooks: {
        onSuccess: ({ items, attempts }, result) =>
          told.push(["onSuccess", items, attempts, result]),
        onFail: ({ items, attempts }, { message }) =>
          told.push(["onFail", items, attempts, message]),
      },
    });
    for (const event of ["added", "sealed", "started", "failed", "retried", "succeeded"] as const) {
      batch.on(event, () => told.push(event));
    }
    await bw.start();
    await batch.addBulk([1, 2, 3]);
    await expect.poll(() => told.at(-1)).toEqual(["onSuccess", [1, 2, 3], 2, "sent"]);
    expect(told).toEqual([
      "added",
      "sealed",
      "started",
      "failed",
      ["onFail", [1, 2, 3], 1, "no luck"],
      "retried",
      "started",
      "succeeded",
      ["onSuccess", [1, 2, 3], 2, "sent"],
    ]);
  });

  test("a schema holds in a transaction of the caller's, and what it lets in is told of", async () => {
    const bw = engine();
    const counts: unknown[] = [];
    const schema = z.object({ id: z.coerce.number() }).refine(async ({ id }) => id > 0, "too low");
    const batch = bw.batch({ name: "held", maxSize: 10, maxWaitMs: 20, schema, handler: () => 1 });
    batch.on("added", ({ count, committed }) => counts.push([count, committed]));
    const client = await pool.connect();
    onTestFinished(() => client.release());
    await client.query("BEGIN");
    await batch.addBulk([{ id: "1" }, { id: 2 }], { tx: client });
    const refused = batch.add({ id: 0 }, { tx: client });
    await expect(refused).rejects.toMatchObject({ code: "ITEM_INVALID", index: 0, field: "$" });
    await client.query("COMMIT");
    expect(await batch.getBufferSize()).toBe(2);
    expect(counts).toEqual([[2, false]]);
  });
});
