/** The job's database in a SQLite file: the engine shares the job's own handle. */
import { DatabaseSync } from "node:sqlite";
import { sqlite } from "batchwork/sqlite";
import type { Database } from "./database.ts";

/**
 * No key is unique, so a city that were loaded twice would be there twice. One name in the source
 * is longer than this table takes: the poison record.
 */
const TABLES = `
  CREATE TABLE IF NOT EXISTS cities (
    id INTEGER NOT NULL,
    name TEXT NOT NULL CHECK (length(name) <= 60),
    country TEXT NOT NULL,
    population INTEGER NOT NULL,
    longitude REAL NOT NULL,
    latitude REAL NOT NULL
  );
  CREATE TABLE IF NOT EXISTS producer (position INTEGER NOT NULL);
  INSERT INTO producer SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM producer);
`;

export async function openSqlite(path: string): Promise<Database> {
  const db = new DatabaseSync(path);
  db.exec(TABLES);
  const moveTo = db.prepare("UPDATE producer SET position = ?");
  const number = (sql: string): number => Number(db.prepare(sql).get()?.["n"]);
  return {
    storage: sqlite({ database: db }),
    position: async () => number("SELECT position AS n FROM producer"),
    addPage: async (cities, page, position) => {
      db.exec("BEGIN IMMEDIATE");
      try {
        cities.addBulkSync(page, { tx: db });
        moveTo.run(position);
        db.exec("COMMIT");
      } catch (error) {
        db.exec("ROLLBACK");
        throw error;
      }
    },
    insert: async (ctx, written) => {
      await ctx.tx((tx) => {
        const insert = tx.prepare("INSERT INTO cities VALUES (?, ?, ?, ?, ?, ?)");
        for (const { cityId, name, country, population, loc } of ctx.batch) {
          insert.run(cityId, name, country, population, ...loc.coordinates);
        }
        written();
      });
    },
    countCities: async () => number("SELECT count(*) AS n FROM cities"),
    countDistinct: async () => number("SELECT count(DISTINCT id) AS n FROM cities"),
    countPerCountry: async () => {
      const rows = db.prepare("SELECT country, count(*) AS n FROM cities GROUP BY country").all();
      return new Map(rows.map((row) => [String(row["country"]), Number(row["n"])]));
    },
    close: async () => db.close(),
  };
}
