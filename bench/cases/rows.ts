/**
 * A row per item, as fast as we could make it: no index but the primary key, inserts by a prepared
 * statement 500 to a transaction, claims of 500 in order, the payloads of a claim read back as one
 * JSON array, and the delete of a finished claim in the transaction of the next. Faster than
 * `json_each` inserts, than a partial index on waiting rows and than payloads in a table of their own
 * (README.md). It has no groups, due times, attempts or retries, which a real queue would add.
 */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { CaseContext, CaseResult } from "../harness/case.ts";
import { Deliveries } from "../harness/deliveries.ts";
import { items, slices, type Item } from "../harness/items.ts";
import { Meter } from "../harness/meter.ts";
import { durabilityOf, synchronousOf, walCommits } from "../harness/sqlite-facts.ts";

const PER_TRANSACTION = 500;

export async function rows(context: CaseContext): Promise<CaseResult> {
  const all = items(context.items);
  const deliveries = new Deliveries(all.length);
  const path = join(context.directory, "rows.db");
  const database = new DatabaseSync(path);
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
  database.exec(
    "CREATE TABLE items (id INTEGER PRIMARY KEY, lease INTEGER NOT NULL, data TEXT NOT NULL)",
  );
  const queue = rowQueue(database);
  const meter = await Meter.start({
    items: all.length,
    commits: () => walCommits(path),
    synchronous: true,
  });
  for (const slice of slices(all, PER_TRANSACTION)) queue.add(slice);
  meter.phase("add");
  for (let claimed = queue.exchange(); claimed.length > 0; claimed = queue.exchange()) {
    for (const { id } of claimed) deliveries.mark(id);
  }
  meter.phase("process");
  const measurement = await meter.stop();
  const durability = durabilityOf(synchronousOf(database));
  const left = Number(database.prepare("SELECT count(*) AS n FROM items").get()?.["n"]);
  database.close();
  deliveries.verify();
  if (left !== 0) throw new Error(`${left} rows were left behind`);
  return { ...measurement, durability };
}

interface RowQueue {
  add(list: readonly Item[]): void;
  /** Deletes what the last call returned, and claims and returns the next items. */
  exchange(): Item[];
}

function rowQueue(database: DatabaseSync): RowQueue {
  const begin = database.prepare("BEGIN IMMEDIATE");
  const commit = database.prepare("COMMIT");
  const insert = database.prepare("INSERT INTO items (lease, data) VALUES (0, ?)");
  const claim = database.prepare(`
    UPDATE items SET lease = ?
    WHERE id IN (SELECT id FROM items WHERE lease = 0 ORDER BY id LIMIT ${PER_TRANSACTION})
    RETURNING id`);
  claim.setReturnArrays(true);
  const read = database.prepare(`
    SELECT '[' || group_concat(data) || ']' AS list FROM items
    WHERE id BETWEEN ? AND ? AND lease = ?`);
  const remove = database.prepare("DELETE FROM items WHERE id BETWEEN ? AND ? AND lease = ?");
  let lease = 0;
  let held: readonly [number, number] | null = null;
  return {
    add(list) {
      begin.run();
      for (const item of list) insert.run(JSON.stringify(item));
      commit.run();
    },
    exchange() {
      begin.run();
      if (held !== null) remove.run(...held, lease);
      const ids = (claim.all(++lease) as unknown as [number][]).map(([id]) => id);
      const [first, last] = [ids[0], ids.at(-1)];
      held = first === undefined || last === undefined ? null : [first, last];
      const text = held === null ? "[]" : String(read.get(...held, lease)?.["list"]);
      commit.run();
      return JSON.parse(text) as Item[];
    },
  };
}
