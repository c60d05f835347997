/**
 * Batch inserts: page views arrive one at a time and are written 500 at a time, in the same
 * transaction that ends their batch.
 *
 *   node --conditions=batchwork-source examples/01-batch-inserts.ts
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Batchwork } from "batchwork";
import { sqlite } from "batchwork/sqlite";

interface PageView {
  readonly userId: number;
  readonly path: string;
  readonly at: Date;
}

const dir = mkdtempSync(join(tmpdir(), "batchwork-01-"));
const db = new DatabaseSync(join(dir, "app.db"));
db.exec("CREATE TABLE page_views (user_id INTEGER, path TEXT, at TEXT)");

// The application's own database: no second file, and `ctx.tx` can write to its tables.
const bw = new Batchwork({ storage: sqlite({ database: db }) });

const pageViews = bw.batch<PageView>({
  name: "page-views",
  maxSize: 500,
  maxWaitMs: 10_000,
  handler: async (ctx) => {
    // An item comes out as it went in: `at` is a Date again.
    const rows = ctx.batch.map(({ userId, path, at }) => [userId, path, at.toISOString()] as const);
    await ctx.tx((tx) => {
      const insert = tx.prepare("INSERT INTO page_views VALUES (?, ?, ?)");
      for (const row of rows) insert.run(...row);
    });
    console.log(`inserted a batch of ${ctx.batchSize}`);
  },
});

// Adds of one turn share a commit, and each resolves after it. Nothing is handed over before start.
const views = Array.from({ length: 1200 }, (_, n) => ({ userId: n % 7, path: `/page/${n}` }));
const added = await Promise.all(views.map((view) => pageViews.add({ ...view, at: new Date() })));
console.log(`added ${added.length} page views, waiting: ${await pageViews.getBufferSize()}`);

await bw.start();
// Two full batches go at once. The last 200 would wait up to maxWaitMs; flush() makes them due now.
await pageViews.flush();

console.log("in the table:", db.prepare("SELECT count(*) AS n FROM page_views").get()?.["n"]);
console.log("waiting:", await pageViews.getBufferSize());

await bw.stop();
db.close();
rmSync(dir, { recursive: true });
