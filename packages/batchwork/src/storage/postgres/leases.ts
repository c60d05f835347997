/** Incarnations, and giving back what they hold. */
import type { Lease } from "../../core/lease.ts";
import type { Reaped } from "../storage.ts";
import type { Database } from "./database.ts";

/** A beat that comes later than that is no better than the next one, ms. */
const BEAT_MS_MAX = 5000;

export async function enroll(database: Database, leaseMs: number): Promise<number> {
  const sql = `INSERT INTO @.incarnations (expires_at)
    VALUES (coalesce($1::bigint, @.now_ms()) + $2::bigint) RETURNING id`;
  return (await database.row(sql, [database.at, leaseMs]))["id"] as number;
}

export async function heartbeat(
  database: Database,
  incarnation: number,
  leaseMs: number,
): Promise<boolean> {
  const sql = `UPDATE @.incarnations
    SET expires_at = coalesce($1::bigint, @.now_ms()) + $2::bigint WHERE id = $3`;
  const values = [database.at, leaseMs, incarnation];
  // A connection that answers no more must not use the whole lease up.
  const timeoutMs = Math.min(leaseMs / 3, BEAT_MS_MAX);
  return (await database.run(sql, values, timeoutMs)).rowCount === 1;
}

export async function progress(
  database: Database,
  { batch, token }: Lease,
  percent: number,
  note: string,
): Promise<boolean> {
  const sql = `UPDATE @.batches SET percent = $3, note = $4
    WHERE id = $1 AND token = $2 AND state = 'leased'`;
  return (await database.run(sql, [batch, token, percent, stored(note)])).rowCount === 1;
}

export async function release(database: Database, leases: readonly Lease[]): Promise<void> {
  if (leases.length === 0) return;
  await database.run("SELECT @.release($1, $2, $3)", [...columns(leases), database.at]);
}

export async function reconcile(
  database: Database,
  incarnation: number,
  known: readonly Lease[],
): Promise<Lease[]> {
  const values = [incarnation, ...columns(known), database.at];
  const rows = await database.rows("SELECT * FROM @.reconcile($1, $2, $3, $4)", values);
  return rows.map((row) => ({ batch: row["batch"] as number, token: row["token"] as number }));
}

export async function retire(database: Database, incarnation: number): Promise<void> {
  await database.run("SELECT @.retire($1, $2)", [incarnation, database.at]);
}

export async function absolve(database: Database, incarnation: number): Promise<void> {
  await database.run("SELECT @.absolve($1)", [incarnation]);
}

export async function reap(database: Database, maxCrashes: number): Promise<Reaped> {
  const sql = `SELECT array_to_json(incarnations)::text AS incarnations, released, dead, next_in
    FROM @.reap($1, $2)`;
  const [row] = (await database.run(sql, [maxCrashes, database.at], BEAT_MS_MAX)).rows as [
    Readonly<Record<string, unknown>>,
  ];
  return {
    incarnations: JSON.parse(row["incarnations"] as string) as number[],
    released: row["released"] as number,
    dead: row["dead"] as number,
    nextInMs: row["next_in"] as number | null,
  };
}

/** PostgreSQL's text has no NUL; a note is for people to read. */
function stored(note: string): string {
  return note.replaceAll("\0", "\uFFFD");
}

function columns(leases: readonly Lease[]): [number[], number[]] {
  return [leases.map(({ batch }) => batch), leases.map(({ token }) => token)];
}
