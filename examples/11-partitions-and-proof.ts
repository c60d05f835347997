/**
 * A table walked through in four ranges side by side, while somebody else inserts and deletes rows;
 * at the end there is a proof that no row was missed, and rows that came late were taken up. Before
 * that, a dry run says what would change.
 *
 *   node --conditions=batchwork-source examples/11-partitions-and-proof.ts
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { Batchwork, fromTable, type JobStatus } from "batchwork";
import { sqlite } from "batchwork/sqlite";

interface Order {
  readonly id: number;
  readonly cents: number;
}

const ROWS = 4000;

const dir = mkdtempSync(join(tmpdir(), "batchwork-11-"));
const db = new DatabaseSync(join(dir, "shop.db"));
db.exec("CREATE TABLE orders (id INTEGER PRIMARY KEY, cents INTEGER, taxed INTEGER DEFAULT 0)");
const insert = db.prepare("INSERT INTO orders (id, cents) VALUES (?, ?)");
db.exec("BEGIN");
// Every tenth number: there is room for others in between.
for (let n = 1; n <= ROWS; n++) insert.run(n * 10, n);
db.exec("COMMIT");

const bw = new Batchwork({ storage: sqlite({ database: db }), concurrency: 4 });

let late = 0;
const taxes = bw.iterator<Order>({
  name: "taxes",
  batchSize: 100,
  source: fromTable<Order>({ table: "orders", key: "id", columns: ["cents"] }),
  coverage: true,
  processBatch: async ({ items, dryRun, tx }) => {
    await tx((db) => {
      const update = db.prepare("UPDATE orders SET taxed = taxed + 1 WHERE id = ?");
      for (const { id } of items) update.run(id);
    });
    // Somebody else writes to the table: behind this page, and ahead of it.
    const last = items.at(-1)?.id ?? 0;
    if (dryRun || late >= 20 || last % 10 !== 0) return;
    insert.run(last - 5, 1);
    db.prepare("DELETE FROM orders WHERE id = ?").run(last - 10);
    late++;
  },
});
await bw.start();

async function finished(jobId: string): Promise<JobStatus> {
  for (;;) {
    const job = await taxes.status(jobId);
    if (job?.status === "completed") return job;
    await sleep(20);
  }
}

await taxes.start("try-out", { dryRun: true });
const tried = await finished("try-out");
console.log(`dry run: ${tried.wouldChange} rows would change`);
console.log(
  `taxed so far: ${String(db.prepare("SELECT sum(taxed) AS n FROM orders").get()?.["n"])}`,
);

await taxes.start("2026", { partitions: 4 });
const { coverage, partitions } = await finished("2026");
console.log(`partitions: ${partitions.length}`);
console.log(`proven: ${String(coverage?.proven)}`);
console.log(`rows at the start: ${coverage?.atStart}`);
console.log(`rows missed: ${coverage?.missed}`);
console.log(`rows that came late: ${coverage?.late}`);
const odd = db.prepare("SELECT count(*) AS n FROM orders WHERE taxed <> 1").get();
console.log(`orders not taxed exactly once: ${String(odd?.["n"])}`);

await bw.stop();
db.close();
rmSync(dir, { recursive: true });
