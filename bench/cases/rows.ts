/**
 * A row per item, as fast as we could make it: inserts by a prepared statement 500 to a transaction,
 * claims of 500 in order, the payloads of a claim read back as one JSON array, and the delete of a
 * finished claim in the transaction of the next. Twice:
 *
 * - `rows` has the columns and the one index that a queue cannot do without: it finds what waits, by
 *   queue and group, beside rows that are leased or back off. It still knows no leases that expire,
 *   no per-item verdicts, no dead letters.
 * - `rows-bare` has nothing but a key, a lease and the payload, and takes whatever comes first.
 *
 * Both beat `json_each` inserts and payloads in a table of their own (README.md).
 */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { CaseContext, CaseResult, RunCase } from "../harness/case.ts";
import { Deliveries } from "../harness/deliveries.ts";
import { items, slices, type Item } from "../harness/items.ts";
import { Meter } from "../harness/meter.ts";
import { durabilityOf, synchronousOf, walCommits } from "../harness/sqlite-facts.ts";

const PER_TRANSACTION = 500;

/** One layout: its schema, and the statements that differ. */
interface Layout {
  readonly schema: string;
  readonly insert: string;
  /** The ids of the next rows. */
  readonly next: string;
}

const BARE: Layout = {
  schema: "CREATE TABLE items (id INTEGER PRIMARY KEY, lease INTEGER NOT NULL, data TEXT NOT NULL)",
  insert: "INSERT INTO items (lease, data) VALUES (0, ?)",
  next: "SELECT id FROM items WHERE lease = 0 ORDER BY id",
};

const QUEUE: Layout = {
  schema: `
    CREATE TABLE items (id INTEGER PRIMARY KEY, queue INTEGER NOT NULL, grp TEXT NOT NULL,
      due_at INTEGER NOT NULL, attempt INTEGER NOT NULL, lease INTEGER NOT NULL, data TEXT NOT NULL);
    CREATE INDEX waiting ON items (queue, grp, id) WHERE lease = 0`,
  insert: `INSERT INTO items (queue, grp, due_at, attempt, lease, data)
    VALUES (1, '', 1767225600000, 1, 0, ?)`,
  next: "SELECT id FROM items WHERE queue = 1 AND grp = '' AND lease = 0 ORDER BY id",
};

export const rows: RunCase = async (context) => run(context, QUEUE);

export const rowsBare: RunCase = async (context) => run(context, BARE);

async function run(context: CaseContext, layout: Layout): Promise<CaseResult> {
  const all = items(context.items);
  const deliveries = new Deliveries(all.length);
  const path = join(context.directory, "rows.db");
  const database = new DatabaseSync(path);
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
  database.exec(layout.schema);
  const queue = rowQueue(database, layout);
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

function rowQueue(database: DatabaseSync, layout: Layout): RowQueue {
  const begin = database.prepare("BEGIN IMMEDIATE");
  const commit = database.prepare("COMMIT");
  const insert = database.prepare(layout.insert);
  const claim = database.prepare(`
    UPDATE items SET lease = ?
    WHERE id IN (${layout.next} LIMIT ${PER_TRANSACTION})
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
