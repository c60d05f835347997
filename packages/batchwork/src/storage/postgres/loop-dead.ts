/** What loops gave up. */
import type { StoredError } from "../../core/errors.ts";
import type { LoopDeadQuery, LoopLetter, LoopLetters } from "../loop-dead.ts";
import type { Database } from "./database.ts";

export async function deadLetters(db: Database, query: LoopDeadQuery): Promise<LoopLetter[]> {
  const { kind, name, part, after, limit, marked } = query;
  const sql = `SELECT d.id, d.loop, l.part, d.item, d.error, d.attempts, d.marked, d.died_at
    FROM @.loop_dead AS d JOIN @.loops AS l ON l.id = d.loop
    WHERE l.kind = $1 AND l.name = $2 AND ($3::text IS NULL OR l.part = $3) AND d.id > $4
      AND (d.marked OR NOT $5)
    ORDER BY d.id LIMIT $6`;
  const rows = await db.rows(sql, [kind, name, part, after, marked, limit]);
  return rows.map((row) => ({
    id: row["id"] as number,
    loop: row["loop"] as number,
    part: row["part"] as string,
    item: row["item"] as string,
    error: JSON.parse(row["error"] as string) as StoredError,
    attempts: row["attempts"] as number,
    marked: row["marked"] as boolean,
    diedAt: row["died_at"] as number,
  }));
}

export async function discardDead(db: Database, letters: LoopLetters): Promise<number> {
  const sql = `DELETE FROM @.loop_dead AS d
    WHERE d.loop IN (SELECT l.id FROM @.loops AS l WHERE l.kind = $1 AND l.name = $2)
      AND ($3::bigint[] IS NULL OR d.id = ANY ($3))`;
  return (await db.run(sql, valuesOf(letters))).rowCount ?? 0;
}

export async function redriveDead(db: Database, letters: LoopLetters): Promise<number> {
  const sql = "SELECT @.redrive_loops($1, $2, $3, $4) AS marked";
  return (await db.row(sql, [...valuesOf(letters), db.at]))["marked"] as number;
}

function valuesOf({ kind, name, ids }: LoopLetters): unknown[] {
  return [kind, name, ids === "all" ? null : ids];
}
