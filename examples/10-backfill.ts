/**
 * A backfill: every row of a table gets a new column filled in, page by page. Each page's writes
 * commit together with the cursor behind it, so each row is filled in once, although the process is
 * killed twice on the way. One row is bad: it does not stop the rest.
 *
 *   node --conditions=batchwork-source examples/10-backfill.ts
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { Batchwork, fromTable } from "batchwork";
import { sqlite } from "batchwork/sqlite";

interface User {
  readonly id: number;
  readonly email: string;
}

const ROWS = 1000;

/** A process is started with a folder and a page at which it dies; without, it is the first. */
const [folder, diesAt] = process.argv.slice(2);
const dir = folder ?? mkdtempSync(join(tmpdir(), "batchwork-10-"));
const db = new DatabaseSync(join(dir, "app.db"));

if (folder === undefined) {
  db.exec("CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, domain TEXT, writes INTEGER)");
  const insert = db.prepare("INSERT INTO users VALUES (?, ?, NULL, 0)");
  db.exec("BEGIN");
  for (let id = 1; id <= ROWS; id++) insert.run(id, `user${id}@example${id % 3}.com`);
  // Somebody once stored what is no address.
  db.exec("UPDATE users SET email = 'nobody' WHERE id = 500");
  db.exec("COMMIT");
}

const bw = new Batchwork({
  storage: sqlite({ database: db }),
  // Who is killed is noticed within a second, for the sake of the example.
  leaseMs: 1000,
});

let pages = 0;
const backfill = bw.iterator<User>({
  name: "fill-domains",
  batchSize: 100,
  source: fromTable<User>({ table: "users", key: "id", columns: ["email"] }),
  maxRetries: 1,
  processBatch: async (ctx) => {
    await ctx.tx((tx) => {
      const update = tx.prepare("UPDATE users SET domain = ?, writes = writes + 1 WHERE id = ?");
      for (const [index, { id, email }] of ctx.items.entries()) {
        const domain = email.split("@")[1];
        if (domain === undefined) ctx.fail(index, new Error(`${email} is no address`));
        else update.run(domain, id);
      }
      // In the middle of a page, with half of its writes done: they are rolled back.
      if (++pages === Number(diesAt)) process.kill(process.pid, "SIGKILL");
    });
  },
  onComplete: ({ processedCount, deadCount }) => {
    console.log(`completed: ${processedCount} rows, ${deadCount} of them bad`);
  },
});

await bw.start();
if (folder === undefined) {
  await bw.stop();
  // Two processes begin the work, and each is killed.
  for (const page of ["3", "4"]) {
    const args = [...process.execArgv, import.meta.filename, dir, page];
    const { signal } = spawnSync(process.execPath, args, { stdio: "inherit" });
    console.log(`killed (${signal}) in the middle of page ${page} of its life`);
  }
  const args = [...process.execArgv, import.meta.filename, dir, "never"];
  spawnSync(process.execPath, args, { stdio: "inherit" });
  const count = (where: string): number =>
    Number(db.prepare(`SELECT count(*) AS n FROM users WHERE ${where}`).get()?.["n"]);
  console.log(`rows written once: ${count("writes = 1")}`);
  console.log(`rows written twice: ${count("writes > 1")}`);
  console.log(`rows left alone: ${count("writes = 0")}`);
  db.close();
  rmSync(dir, { recursive: true });
} else {
  if ((await backfill.status("domains")) === null) await backfill.start("domains");
  for (;;) {
    const job = await backfill.status("domains");
    if (job?.status === "completed") break;
    await sleep(20);
  }
  for (const { item, error } of await backfill.deadLetters.list()) {
    console.log(`dead letter: row ${item.id}, ${error.message}`);
  }
  await bw.stop();
  db.close();
}
