/**
 * Adding once: an order and the mail about it are stored together or not at all, and an order that
 * is sent again after a crash is stored no second time. Two processes are killed to show it.
 *
 *   node --conditions=batchwork-source examples/04-once-with-your-rows.ts
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Batchwork } from "batchwork";
import { sqlite } from "batchwork/sqlite";

interface Mail {
  readonly orderId: string;
  readonly to: string;
}

/** A process is started with a folder and told where it dies; without, this is the whole program. */
const [folder, dies] = process.argv.slice(2);
const dir = folder ?? mkdtempSync(join(tmpdir(), "batchwork-04-"));

const db = new DatabaseSync(join(dir, "shop.db"));
db.exec("CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, customer TEXT)");
const bw = new Batchwork({ storage: sqlite({ database: db }) });

const mails = bw.batch<Mail>({
  name: "order-mails",
  maxSize: 100,
  maxWaitMs: 60_000,
  handler: (ctx) => console.log("mails sent:", ctx.batch.map((mail) => mail.to).join(" ")),
});
await bw.start();

/** Takes an order, which whoever sends it may send again. */
function takeOrder(id: string, customer: string): void {
  db.exec("BEGIN IMMEDIATE");
  try {
    db.prepare("INSERT OR IGNORE INTO orders VALUES (?, ?)").run(id, customer);
    // The mail exists if and only if this transaction commits, and once for each order.
    const options = { tx: db, idempotencyKey: id };
    const { duplicate } = mails.addSync({ orderId: id, to: customer }, options);
    if (dies === "before-commit") process.kill(process.pid, "SIGKILL");
    db.exec("COMMIT");
    console.log(`order ${id}: ${duplicate ? "known already" : "stored, mail added"}`);
  } catch (error) {
    db.exec("ROLLBACK");
    throw error;
  }
}

async function show(): Promise<void> {
  const orders = db.prepare("SELECT id FROM orders").all().length;
  console.log(`  orders: ${orders}, mails waiting: ${await mails.getBufferSize()}`);
}

/** Takes the order in another process, which is killed before it can say that it has. */
function takeAndDie(moment: "before-commit" | "after-commit"): void {
  const args = [...process.execArgv, import.meta.filename, dir, moment];
  const { signal } = spawnSync(process.execPath, args, { stdio: "inherit" });
  console.log(`killed (${signal}) ${moment.replace("-", " ")}`);
}

if (dies !== undefined) {
  takeOrder("o-1", "ann");
  process.kill(process.pid, "SIGKILL");
}

takeAndDie("before-commit");
await show();
takeAndDie("after-commit");
await show();

// Nobody answered the sender, so it sends the order once more, and another one.
takeOrder("o-1", "ann");
takeOrder("o-2", "bob");
await show();

// Other content under a key is an error of the caller, and the transaction is rolled back.
try {
  takeOrder("o-2", "eve");
} catch (error) {
  console.log("refused:", (error as { code?: unknown }).code);
}

await mails.flush();
await bw.stop();
db.close();
rmSync(dir, { recursive: true });
