/** One process of a campaign of workers: notes each row in a transaction, and each call in a file. */
import { appendFileSync } from "node:fs";
import { argv } from "node:process";
import { Batchwork, type Work } from "batchwork";
import { sqlite } from "batchwork/sqlite";
import { PARTITIONS } from "./table.ts";

/** What a process is told, as JSON. */
export interface WorkerOrders {
  readonly path: string;
  /** Where calls are noted: what does not commit with the loop may be there twice. */
  readonly calls: string;
  readonly leaseMs: number;
}

const BATCH = 20;

/** Long enough to be killed in, now and then. */
const WORK_MS = 3;

const { path, calls, leaseMs } = JSON.parse(argv[2] ?? "{}") as WorkerOrders;
const heartbeatMs = Math.floor(leaseMs / 3);
const bw = new Batchwork({ storage: sqlite({ path }), leaseMs, heartbeatMs });
const block = new Int32Array(new SharedArrayBuffer(4));

bw.worker({
  name: "campaign",
  partitions: PARTITIONS,
  query: (tx, { partition }): Work<readonly number[]> => {
    const sql = `SELECT id FROM work WHERE part = ? ORDER BY id LIMIT ${BATCH}`;
    const rows = tx.prepare(sql).all(partition) as { readonly id: number }[];
    const batch = rows.map(({ id }) => id);
    if (batch.length > 0) return { kind: "work", batch };
    return { kind: "idle", cooldownMs: 20, pollIntervalMs: 10 };
  },
  process: (tx, batch) => {
    const remove = tx.prepare("DELETE FROM work WHERE id = ?");
    const note = tx.prepare("INSERT INTO done VALUES (?)");
    appendFileSync(calls, batch.map((id) => `${id}\n`).join(""));
    for (const id of batch) {
      remove.run(id);
      note.run(id);
    }
    Atomics.wait(block, 0, 0, WORK_MS);
  },
});
await bw.start();
process.send?.("working");
process.on("message", () => {
  void bw.stop().then(() => process.exit(0));
});
