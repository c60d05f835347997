/** The job's database in PostgreSQL: the engine shares the job's own pool. */
import { postgres, type PostgresTx } from "batchwork/postgres";
import pg from "pg";
import type { Database } from "./database.ts";

/** As on SQLite: no key is unique, and one name is too long. */
const TABLES = `
  CREATE SCHEMA IF NOT EXISTS main_job;
  CREATE TABLE IF NOT EXISTS main_job.cities (
    id int NOT NULL,
    name text NOT NULL CHECK (length(name) <= 60),
    country text NOT NULL,
    population int NOT NULL,
    longitude float8 NOT NULL,
    latitude float8 NOT NULL
  );
  CREATE TABLE IF NOT EXISTS main_job.producer (position int NOT NULL);
  INSERT INTO main_job.producer SELECT 0 WHERE NOT EXISTS (SELECT FROM main_job.producer);
`;

/** One statement for the rows of a batch. */
const INSERT = `INSERT INTO main_job.cities
  SELECT c."cityId", c.name, c.country, c.population,
    (c.loc->'coordinates'->>0)::float8, (c.loc->'coordinates'->>1)::float8
  FROM json_to_recordset($1)
    AS c ("cityId" int, name text, country text, population int, loc json)`;

/** The schema of the engine, so that nothing else in the database is touched. */
const SCHEMA = "main_job_batchwork";

export async function openPostgres(connectionString: string): Promise<Database> {
  const pool = new pg.Pool({ connectionString });
  await pool.query(TABLES);
  const number = async (sql: string): Promise<number> => {
    const { rows } = await pool.query<{ n: string }>(sql);
    return Number(rows[0]?.n);
  };
  return {
    storage: postgres({ pool, schema: SCHEMA }),
    position: async () => number("SELECT position AS n FROM main_job.producer"),
    addPage: async (cities, page, position) => {
      const client = await pool.connect();
      try {
        await client.query("BEGIN");
        await cities.addBulk(page, { tx: client });
        await client.query("UPDATE main_job.producer SET position = $1", [position]);
        await client.query("COMMIT");
      } catch (error) {
        await client.query("ROLLBACK");
        throw error;
      } finally {
        client.release();
      }
    },
    insert: async (ctx, written) => {
      await ctx.tx(async (tx: PostgresTx) => {
        await tx.query(INSERT, [JSON.stringify(ctx.batch)]);
        written();
      });
    },
    countCities: async () => number("SELECT count(*) AS n FROM main_job.cities"),
    countDistinct: async () => number("SELECT count(DISTINCT id) AS n FROM main_job.cities"),
    countPerCountry: async () => {
      const { rows } = await pool.query<{ country: string; n: string }>(
        "SELECT country, count(*) AS n FROM main_job.cities GROUP BY country",
      );
      return new Map(rows.map(({ country, n }) => [country, Number(n)]));
    },
    close: async () => pool.end(),
  };
}

/** Removes what an earlier run has left in a database that outlives it. */
export async function emptyPostgres(connectionString: string): Promise<void> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  await client.query("SET client_min_messages = warning");
  for (const schema of ["main_job", SCHEMA]) {
    await client.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
  }
  await client.end();
}
