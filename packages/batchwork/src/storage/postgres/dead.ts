/** Dead letters: kept until somebody redrives or discards them. */
import { letter, RedrivenChunks, type LetterRow, type RedrivenChunk } from "../letters.ts";
import type { DeadQuery, DeadRow } from "../storage.ts";
import type { Database } from "./database.ts";
import { storedGroup } from "../../core/group-name.ts";
import { appendCall } from "./intake.ts";

type Ids = readonly number[] | "all";

const LETTERS = "SELECT * FROM @.dead WHERE queue = $1 AND id > $2 ORDER BY id LIMIT $3";

const LETTERS_OF_GROUP =
  "SELECT * FROM @.dead WHERE queue = $1 AND grp = $4 AND id > $2 ORDER BY id LIMIT $3";

const LETTERS_TO_REDRIVE = `SELECT * FROM @.dead
  WHERE queue = $1 AND id > $2 AND ($3::bigint[] IS NULL OR id = ANY ($3))
  ORDER BY id LIMIT $4 FOR UPDATE`;

/** Idempotency keys stay with their items. */
const MOVE_KEYS = "SELECT @.move_keys($1, $2, $3)";

/** Letters read at a time by a redrive. */
const PAGE = 500;

export async function deadLetters(database: Database, query: DeadQuery): Promise<DeadRow[]> {
  const { queue, group, after, limit } = query;
  const values: unknown[] = [queue, after, limit];
  if (group !== null) values.push(storedGroup(group));
  const sql = group === null ? LETTERS : LETTERS_OF_GROUP;
  return (await database.rows(sql, values)).map((row) => letter(row as unknown as LetterRow));
}

/** One transaction: what is read is locked, so that nobody else puts it back too. */
export async function redrive(database: Database, queue: number, ids: Ids): Promise<number> {
  const given = ids === "all" ? null : [...ids];
  return database.transaction(async (client) => {
    const found: RedrivenChunk[] = [];
    const chunks = new RedrivenChunks(queue, (chunk) => {
      found.push(chunk);
    });
    let after = 0;
    let count = 0;
    for (;;) {
      const rows = (await database.on(client, LETTERS_TO_REDRIVE, [
        queue,
        after,
        given,
        PAGE,
      ])) as unknown as readonly LetterRow[];
      const last = rows.at(-1);
      if (last === undefined) break;
      after = last.id;
      count += rows.length;
      for (const row of rows) chunks.add(row);
      await database.on(client, "DELETE FROM @.dead WHERE id = ANY ($1)", [
        rows.map(({ id }) => id),
      ]);
    }
    chunks.end();
    if (found.length > 0) {
      const { sql, values } = appendCall(
        found.map(({ chunk }) => chunk),
        database.at,
      );
      await database.on(client, MOVE_KEYS, moved(found, await database.on(client, sql, values)));
    }
    return count;
  });
}

export async function discard(database: Database, queue: number, ids: Ids): Promise<number> {
  const values = [queue, ids === "all" ? null : ids, database.at];
  const row = await database.row("SELECT @.discard($1, $2, $3) AS count", values);
  return row["count"] as number;
}

const TAKE_UNNOTIFIED = `SELECT t.* FROM (
    SELECT d.queue FROM @.dead AS d
    WHERE d.queue = ANY ($1) AND d.notice_at <= coalesce($4::bigint, @.now_ms()) LIMIT 1) AS q,
  LATERAL @.take_unnotified(q.queue, $2, $3, $4) AS t`;

export async function takeUnnotified(
  database: Database,
  queues: readonly number[],
  limit: number,
  retryMs: number,
): Promise<DeadRow[]> {
  const rows = await database.rows(TAKE_UNNOTIFIED, [queues, limit, retryMs, database.at]);
  return rows.map((row) => letter(row as unknown as LetterRow));
}

export async function acknowledgeDead(database: Database, ids: readonly number[]): Promise<void> {
  if (ids.length === 0) return;
  const sql = "UPDATE @.dead SET notice_at = NULL WHERE id = ANY ($1) AND notice_at IS NOT NULL";
  await database.run(sql, [ids]);
}

/** Where each item was, and where it is now. */
function moved(chunks: readonly RedrivenChunk[], rows: readonly unknown[]): unknown[][] {
  const ids: string[] = [];
  const to: unknown[] = [];
  const places: number[] = [];
  for (const [n, { itemIds }] of chunks.entries()) {
    for (const [place, id] of itemIds.entries()) {
      ids.push(id);
      to.push((rows[n] as { readonly id: unknown }).id);
      places.push(place);
    }
  }
  return [ids, to, places];
}
