/**
 * The bound: what any engine has to do that keeps items as JSON text in PostgreSQL. For each 500
 * items: encode, insert one row; then delete one row, get its text back, parse. No claims, no order,
 * no retries, no recovery; each statement is a transaction.
 */
import pg from "pg";
import { Deliveries } from "../harness/deliveries.ts";
import { items, slices, type Item } from "../harness/items.ts";
import { measured, type RunPostgres } from "./measured.ts";

const PER_ROW = 500;

/** Neither compressed nor in the row itself, which is the fastest way PostgreSQL has. */
const TABLE = `CREATE TABLE IF NOT EXISTS chunks (id bigint PRIMARY KEY, data text NOT NULL);
  ALTER TABLE chunks ALTER COLUMN data SET STORAGE EXTERNAL`;

export const bound: RunPostgres = async (context) => {
  const all = items(context.items);
  const deliveries = new Deliveries(all.length);
  const client = new pg.Client({ connectionString: context.database });
  await client.connect();
  await client.query(TABLE);
  const result = await measured(context, async (phase) => {
    let rows = 0;
    for (const slice of slices(all, PER_ROW)) {
      const values = [++rows, JSON.stringify(slice)];
      await client.query({
        name: "insert",
        text: "INSERT INTO chunks (id, data) VALUES ($1, $2)",
        values,
      });
    }
    phase("add");
    for (let id = 1; id <= rows; id++) {
      const deleted = await client.query<{ data: string }>({
        name: "delete",
        text: "DELETE FROM chunks WHERE id = $1 RETURNING data",
        values: [id],
      });
      for (const item of JSON.parse(deleted.rows[0]?.data ?? "[]") as Item[]) {
        deliveries.mark(item.id);
      }
    }
    phase("process");
  });
  await client.end();
  deliveries.verify();
  return result;
};
