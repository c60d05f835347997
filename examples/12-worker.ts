/**
 * A worker: a loop over a table of yours. Orders insert mails into a table, in their own
 * transaction, and ping; the worker sends them in batches, each in one transaction with its own
 * state, sets aside what cannot be sent, and costs nothing while there is nothing to do.
 *
 *   node --conditions=batchwork-source examples/12-worker.ts
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Batchwork, type Work } from "batchwork";
import { sqlite } from "batchwork/sqlite";

interface Mail {
  readonly id: number;
  readonly address: string;
}

const dir = mkdtempSync(join(tmpdir(), "batchwork-12-"));
const db = new DatabaseSync(join(dir, "shop.db"));
const silent = { debug: () => undefined, info: () => undefined };
const bw = new Batchwork({
  storage: sqlite({ database: db }),
  logger: { ...silent, warn: (message) => console.log(message), error: console.error },
});
db.exec(`CREATE TABLE mails (
  id INTEGER PRIMARY KEY,
  address TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'waiting'
)`);

const mails = bw.worker({
  name: "mails",
  // A burst becomes one batch.
  debounceMs: 20,
  retries: { max: 1, baseDelay: 10 },

  query: (tx): Work<readonly Mail[]> => {
    const sql = "SELECT id, address FROM mails WHERE state = 'waiting' ORDER BY id LIMIT 100";
    const batch = tx.prepare(sql).all() as unknown as Mail[];
    return batch.length > 0 ? { kind: "work", batch } : { kind: "idle", cooldownMs: 0 };
  },

  process: (tx, batch) => {
    const bad = batch.find(({ address }) => !address.includes("@"));
    if (bad !== undefined) throw new Error(`no address: ${bad.address}`);
    const sent = tx.prepare("UPDATE mails SET state = 'sent' WHERE id = ?");
    for (const { id } of batch) sent.run(id);
    console.log(`sent ${batch.length}: ${batch.map(({ address }) => address).join(" ")}`);
  },

  setAside: (tx, batch) => {
    for (const { id } of batch) {
      tx.prepare("UPDATE mails SET state = 'set aside' WHERE id = ?").run(id);
    }
  },
});
await bw.start();

/** The mail exists, and the worker is told of it, if and only if the order commits. */
function order(...addresses: readonly string[]): void {
  db.exec("BEGIN IMMEDIATE");
  for (const address of addresses) {
    db.prepare("INSERT INTO mails (address) VALUES (?)").run(address);
  }
  mails.pingSync({ tx: db });
  db.exec("COMMIT");
}

async function untilIdle(): Promise<void> {
  while ((await mails.status()).status !== "idle") {
    await new Promise((resolve) => {
      setTimeout(resolve, 5);
    });
  }
}

await untilIdle();
for (const name of ["ann", "bob", "cid"]) order(`${name}@example.com`);
await untilIdle();

// One bad row holds nobody up: the batch is taken apart, and the row is tried once more, alone.
order("dan@example.com", "nowhere", "eve@example.com");
await untilIdle();
for (const { item, attempts, error } of await mails.deadLetters.list()) {
  console.log(`dead: ${item.address} after ${attempts} attempts: ${error.message}`);
}

// Stopped, it stays stopped, in every process, until somebody starts it.
await mails.stop();
order("fay@example.com");
console.log("stopped:", (await mails.status()).status);
await mails.start();
await untilIdle();

const { batches, items } = await mails.stats();
console.log(`${items} mails in ${batches} batches`);
await bw.stop();
db.close();
rmSync(dir, { recursive: true });
