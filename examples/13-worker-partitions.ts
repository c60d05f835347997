/**
 * A worker with partitions, and what happens when its process dies. Each warehouse has a loop of
 * its own; they run side by side. The process is killed in the middle of a batch: the next one takes the
 * loops over, and every parcel was packed exactly once.
 *
 *   node --conditions=batchwork-source examples/13-worker-partitions.ts
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Batchwork, type Work } from "batchwork";
import { sqlite } from "batchwork/sqlite";

const WAREHOUSES = ["berlin", "lyon", "turin"];
const PARCELS = 900;

/** A process is started with a folder and dies; without one, this is the whole program. */
const [folder] = process.argv.slice(2);
const dir = folder ?? mkdtempSync(join(tmpdir(), "batchwork-13-"));

const db = new DatabaseSync(join(dir, "parcels.db"));
db.exec("PRAGMA busy_timeout = 2000");
const bw = new Batchwork({
  storage: sqlite({ path: join(dir, "parcels.db") }),
  leaseMs: 1000,
  heartbeatMs: 300,
});

let batches = 0;
const packing = bw.worker({
  name: "packing",
  partitions: WAREHOUSES,

  query: (tx, { partition }): Work<readonly number[]> => {
    const waiting = "SELECT id FROM parcels WHERE warehouse = ? AND packed = 0 LIMIT 25";
    const rows = tx.prepare(waiting).all(partition) as { readonly id: number }[];
    const batch = rows.map(({ id }) => id);
    return batch.length > 0 ? { kind: "work", batch } : { kind: "idle", cooldownMs: 0 };
  },

  process: (tx, batch) => {
    const pack = tx.prepare("UPDATE parcels SET packed = packed + 1 WHERE id = ?");
    for (const id of batch) pack.run(id);
    batches++;
    // In the middle of its tenth batch; nothing of that was committed.
    if (folder !== undefined && batches === 10) process.kill(process.pid, "SIGKILL");
  },
});

function count(where: string): number {
  const row = db.prepare(`SELECT count(*) AS n FROM parcels WHERE ${where}`).get();
  return Number(row?.["n"]);
}

if (folder === undefined) {
  db.exec("PRAGMA journal_mode = WAL");
  db.exec("CREATE TABLE parcels (id INTEGER PRIMARY KEY, warehouse TEXT, packed INTEGER)");
  const insert = db.prepare("INSERT INTO parcels (warehouse, packed) VALUES (?, 0)");
  for (let n = 0; n < PARCELS; n++) insert.run(WAREHOUSES[n % 3] ?? "");

  const args = [...process.execArgv, import.meta.filename, dir];
  const { signal } = spawnSync(process.execPath, args, { stdio: "inherit" });
  console.log(`killed (${signal}) with ${count("packed > 0")} of ${PARCELS} parcels packed`);
}

await bw.start();
while ((await packing.statuses()).some(({ status }) => status !== "idle")) {
  await new Promise((resolve) => {
    setTimeout(resolve, 20);
  });
}
console.log(`packed once: ${count("packed = 1")}, otherwise: ${count("packed <> 1")}`);
for (const warehouse of WAREHOUSES) {
  console.log(`${warehouse}: ${(await packing.stats(warehouse)).items} parcels`);
}
await bw.stop();
db.close();
rmSync(dir, { recursive: true });
