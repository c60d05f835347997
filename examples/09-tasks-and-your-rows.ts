/**
 * Tasks and your own tables: a task that exists if and only if your transaction commits, one task
 * per key however often it is asked for, and completions written once, many at a time. The process
 * that runs the tasks is killed half-way; another one goes on.
 *
 *   node --conditions=batchwork-source examples/09-tasks-and-your-rows.ts
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { Batchwork, type Completion } from "batchwork";
import { sqlite } from "batchwork/sqlite";

const ORDERS = 200;
const worker = process.argv[2];
const dir = worker ?? mkdtempSync(join(tmpdir(), "batchwork-09-"));
const path = join(dir, "shop.db");

const bw = new Batchwork({ storage: sqlite({ path }), leaseMs: 500 });
const shipping = bw.pool({
  name: "shipping",
  maxParallelism: 50,
  handlers: {
    ship: async ({ order }: { order: number }) => {
      // The killed process dies in the middle of its work.
      if (worker !== undefined && order === 100) process.kill(process.pid, "SIGKILL");
      return `parcel-${order}`;
    },
  },
  onCompleteBatch: async (completions: Completion[], ctx) => {
    // What `tx` writes commits with the acknowledgement of these completions: once.
    await ctx.tx((tx) => {
      const insert = tx.prepare("INSERT INTO parcels VALUES (?, ?)");
      for (const { id, result } of completions) {
        if (result.kind === "success") insert.run(id, String(result.returnValue));
      }
    });
  },
});

if (worker === undefined) await main();
else {
  await bw.start();
  // Until it is killed.
  await sleep(60_000);
}

async function main(): Promise<void> {
  const shop = new DatabaseSync(path);
  shop.exec("PRAGMA journal_mode = WAL");
  shop.exec("CREATE TABLE orders (id INTEGER PRIMARY KEY, task TEXT)");
  shop.exec("CREATE TABLE parcels (task TEXT PRIMARY KEY, parcel TEXT)");
  // Opens the storage; nothing runs in this process yet.
  await shipping.stats();

  shop.exec("BEGIN IMMEDIATE");
  const insert = shop.prepare("INSERT INTO orders VALUES (?, ?)");
  for (let order = 1; order <= ORDERS; order++) {
    insert.run(order, shipping.enqueueSync("ship", { order }, { tx: shop }));
  }
  shop.exec("COMMIT");
  shop.exec("BEGIN IMMEDIATE");
  insert.run(999, shipping.enqueueSync("ship", { order: 999 }, { tx: shop }));
  shop.exec("ROLLBACK");
  console.log("waiting:", (await shipping.stats()).waiting);

  const again = { idempotencyKey: "order-1000" };
  const first = await shipping.enqueue("ship", { order: 1000 }, again);
  console.log("the same task:", first === (await shipping.enqueue("ship", { order: 1000 }, again)));

  const killed = fork(import.meta.filename, [dir], { execArgv: process.execArgv });
  const [, signal] = (await once(killed, "exit")) as [number | null, string];
  console.log("worker ended by", signal);

  await bw.start();
  const parcels = shop.prepare("SELECT count(*) AS n FROM parcels");
  for (;;) {
    const { n } = parcels.get() as { n: number };
    if (n > ORDERS) break;
    await sleep(20);
  }
  const { running, waiting, dead } = await shipping.stats();
  console.log("left:", running + waiting, "dead:", dead);
  const matched = shop.prepare("SELECT count(*) AS n FROM orders JOIN parcels USING (task)");
  console.log("orders with a parcel:", (matched.get() as { n: number }).n);
  console.log("parcels:", (parcels.get() as { n: number }).n);
  await bw.stop();
  shop.close();
  rmSync(dir, { recursive: true });
}
