/** A table to walk through, in the database of an engine. */
import type { IteratorOptions } from "../../src/runtime/iterator-options.ts";
import { fromTable } from "../../src/runtime/iterator-source.ts";
import type { Fixture, UserHandle } from "./fixture.ts";

export interface Row {
  readonly id: number;
  readonly v: number;
}

/** A table of `count` rows, with ids 10 apart, that counts how often each was processed. */
export function withRows(f: Fixture, count: number): UserHandle {
  const database = f.handle();
  database.exec("CREATE TABLE rows (id INTEGER PRIMARY KEY, v INTEGER NOT NULL DEFAULT 0)");
  const insert = database.prepare("INSERT INTO rows (id) VALUES (?)");
  database.exec("BEGIN");
  for (let n = 1; n <= count; n++) insert.run(n * 10);
  database.exec("COMMIT");
  return database;
}

export function rowsIn(database: UserHandle): Row[] {
  return database.prepare("SELECT id, v FROM rows ORDER BY id").all() as Row[];
}

/** Processes each row through `ctx.tx`, which notes it in the row. */
export const INCREMENT: Pick<IteratorOptions<Row>, "processBatch"> = {
  processBatch: ({ items, tx }) =>
    tx((db) => {
      const update = db.prepare("UPDATE rows SET v = v + 1 WHERE id = ?");
      for (const { id } of items) update.run(id);
    }),
};

const source = fromTable<Row>({ table: "rows", key: "id" });
/** An iterator over the table. */
export const define = { name: "rows", batchSize: 10, source, ...INCREMENT };
