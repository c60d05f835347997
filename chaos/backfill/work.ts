/** The table that a backfill walks through, and the iterator that every process defines. */
import { DatabaseSync } from "node:sqlite";
import { Batchwork, fromTable, type TableIterator } from "batchwork";
import { sqlite, type SqliteStorage } from "batchwork/sqlite";
import { SILENT } from "../work.ts";

/** Rows of the start have ids that far apart; others come in between. */
export const SPACING = 10;

export const JOB = "backfill";
const PAGE = 500;

interface Row {
  readonly id: number;
}

/** Opens the file; waits for locks. */
export function connect(path: string): DatabaseSync {
  const database = new DatabaseSync(path);
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 9000");
  return database;
}

/** Makes the table: `done` counts how often a row was processed. */
export function fill(database: DatabaseSync, rows: number): void {
  database.exec(`CREATE TABLE rows (
    id INTEGER PRIMARY KEY, done INTEGER NOT NULL DEFAULT 0, note TEXT NOT NULL) STRICT`);
  database
    .prepare(
      `WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :rows)
      INSERT INTO rows (id, note) SELECT n * :spacing, 'a row of the start' FROM numbers`,
    )
    .run({ rows, spacing: SPACING });
}

/** An engine on the file with the iterator; `faulty` reads with a cursor that is one row ahead. */
export function openEngine(
  path: string,
  faulty: boolean,
): { readonly engine: Batchwork; readonly backfill: TableIterator<Row> } {
  const storage = sqlite({ path });
  const engine = new Batchwork({
    storage: faulty ? aheadByOne(storage) : storage,
    logger: SILENT,
    leaseMs: 400,
    heartbeatMs: 100,
    tickIntervalMs: 50,
    pollMs: 10,
  });
  const backfill = engine.iterator<Row>({
    name: "rows",
    batchSize: PAGE,
    source: fromTable<Row>({ table: "rows", key: "id", columns: ["id"] }),
    coverage: true,
    processBatch: async ({ items, tx }) =>
      tx((db) => {
        const update = db.prepare("UPDATE rows SET done = done + 1 WHERE id = ?");
        for (const { id } of items) update.run(id);
      }),
  });
  return { engine, backfill };
}

/** A bug: behind every page, its cursor is past a row that nobody was given. */
function aheadByOne(storage: SqliteStorage): SqliteStorage {
  const { tables } = storage;
  return new Proxy(storage, {
    get: (target, name) => {
      if (name === "tables") {
        return { ...tables, open: async (query: never) => skipping(await tables.open(query)) };
      }
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

type Table = Awaited<ReturnType<SqliteStorage["tables"]["open"]>>;

function skipping(table: Table): Table {
  return {
    keys: async (range, limit) => table.keys(range, limit),
    count: async () => table.count(),
    cuts: async (ranges) => table.cuts(ranges),
    rows: async (range, limit) => {
      // Pages of the walk; the proof reads larger ones.
      if (limit !== PAGE) return table.rows(range, limit);
      const { rows, keys, cursor } = await table.rows(range, limit + 1);
      if (rows.length <= limit) return { rows, keys, cursor };
      return { rows: rows.slice(0, limit), keys: () => keys().slice(0, limit), cursor };
    },
  };
}
