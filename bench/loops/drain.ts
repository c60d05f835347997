/**
 * A worker that drains a table, 100 rows a batch, each of which it marks; beside the same by hand
 * on the same driver: the same statements and the same transactions, and nothing else.
 */
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { Batchwork } from "batchwork";
import { sqlite } from "batchwork/sqlite";
import type { CaseContext, CaseResult } from "../harness/case.ts";
import { Deliveries } from "../harness/deliveries.ts";
import { Meter } from "../harness/meter.ts";
import {
  durabilityOf,
  synchronousOf,
  walCommits,
  watchConnections,
  weakestSynchronous,
} from "../harness/sqlite-facts.ts";
import { connect, fill, type Email } from "./schema.ts";

const BATCH = 100;

const SELECT = `SELECT id, recipient, subject FROM emails
  WHERE status = 'new' ORDER BY id LIMIT ${BATCH}`;

const MARK = "UPDATE emails SET status = 'sent', attempts = attempts + 1, sent_at = ? WHERE id = ?";

export async function worker({ items, directory }: CaseContext): Promise<CaseResult> {
  watchConnections();
  const { path, database } = prepare(directory, items);
  const deliveries = new Deliveries(items);
  const bw = new Batchwork({ storage: sqlite({ path }) });
  const emails = bw.worker<readonly Email[]>({
    name: "emails",
    query: (tx) => {
      const batch = tx.prepare(SELECT).all() as unknown as Email[];
      return batch.length === 0 ? { kind: "idle", cooldownMs: 0 } : { kind: "work", batch };
    },
    process: (tx, batch) => {
      const mark = tx.prepare(MARK);
      for (const { id } of batch) {
        mark.run(Date.now(), id);
        deliveries.mark(id);
      }
    },
  });
  // Opening the file is not what is measured.
  await emails.stop();
  await bw.start();
  const meter = await Meter.start({ items, commits: () => walCommits(path) });
  await emails.start();
  await deliveries.complete;
  while ((await emails.stats()).items < items) await nextTurn();
  meter.phase("process");
  const measurement = await meter.stop();
  const durability = durabilityOf(weakestSynchronous());
  await bw.stop();
  verify(database, deliveries);
  return { ...measurement, durability };
}

export async function bound({ items, directory }: CaseContext): Promise<CaseResult> {
  const { path, database } = prepare(directory, items);
  const deliveries = new Deliveries(items);
  const [select, mark] = [database.prepare(SELECT), database.prepare(MARK)];
  const meter = await Meter.start({
    items,
    commits: () => walCommits(path),
    synchronous: true,
  });
  for (;;) {
    database.exec("BEGIN IMMEDIATE");
    const batch = select.all() as unknown as Email[];
    for (const { id } of batch) {
      mark.run(Date.now(), id);
      deliveries.mark(id);
    }
    database.exec("COMMIT");
    if (batch.length === 0) break;
  }
  meter.phase("process");
  const measurement = await meter.stop();
  const durability = durabilityOf(synchronousOf(database));
  verify(database, deliveries);
  return { ...measurement, durability };
}

function prepare(directory: string, items: number): { path: string; database: DatabaseSync } {
  const path = join(directory, "work.db");
  const database = connect(path);
  fill(database, items);
  return { path, database };
}

/** Every row was processed once, and says so. */
function verify(database: DatabaseSync, deliveries: Deliveries): void {
  deliveries.verify();
  const row = database.prepare("SELECT count(*) AS n FROM emails WHERE attempts <> 1").get();
  database.close();
  if (Number(row?.["n"]) > 0) throw new Error(`${String(row?.["n"])} rows were not marked once`);
}

async function nextTurn(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  setImmediate(resolve);
  return promise;
}
