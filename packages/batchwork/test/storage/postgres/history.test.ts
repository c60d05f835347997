/** `history` and `explain` on PostgreSQL. */
import pg from "pg";
import { expect, onTestFinished, test } from "vitest";

import { Batchwork, type Batch } from "../../../src/index.ts";
import { postgres } from "../../../src/storage/postgres/index.ts";
import { describePostgres, testDatabase } from "../../postgres/database.ts";

describePostgres("looking back and ahead on PostgreSQL", () => {
  const { url } = testDatabase();

  function engine(): { readonly bw: Batchwork; readonly batch: Batch<number> } {
    const pool = new pg.Pool({ connectionString: url, max: 5 });
    const bw = new Batchwork({ storage: postgres({ pool }), tickIntervalMs: 100 });
    onTestFinished(async () => {
      await bw.stop({ graceMs: 5000 });
      await pool.end();
    });
    const batch = bw.batch<number>({
      name: "orders",
      maxSize: 2,
      maxWaitMs: 3_600_000,
      groupBy: (n) => `g${n % 2}`,
      handler: (ctx) => {
        if (ctx.batch.includes(5)) throw new Error("no luck");
      },
    });
    return { bw, batch };
  }

  test("what one process ran is history in another, which says why the rest waits", async () => {
    const [one, two] = [engine(), engine()];
    await one.bw.start();
    await one.batch.addBulk([0, 2, 3, 5, 7]);
    await expect.poll(async () => (await two.batch.history()).length, { timeout: 30_000 }).toBe(2);
    const history = await two.batch.history();
    const of = (group: string): unknown => history.find(({ groupKey }) => groupKey === group);
    expect(of("g0")).toMatchObject({ size: 2, attempts: 1, reason: "size", outcome: "succeeded" });
    expect(of("g1")).toMatchObject({ outcome: "failed", error: { message: "no luck" } });
    expect(await two.batch.history({ group: "g1" })).toEqual([of("g1")]);
    const [newest] = history;
    expect(await two.batch.history({ before: newest?.batchId ?? "" })).toEqual(history.slice(1));

    const { dueAt } = await one.batch.status();
    expect(await one.batch.explain("g1")).toMatchObject({
      waiting: 1,
      waitsFor: "size or time",
      nextFlushAt: dueAt,
      lastFlushes: [of("g1")],
    });
    expect(await one.batch.explain("g0")).toMatchObject({ waiting: 0, waitsFor: "nothing" });
    expect(await two.batch.explain()).toMatchObject({ waiting: 1, waitsFor: "start" });
    await one.batch.pause();
    expect(await two.batch.explain()).toMatchObject({ waitsFor: "paused", nextFlushAt: null });
  });
});
