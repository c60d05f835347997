/** Definitions and pauses. */
import type { QueueDefinition, QueueInfo } from "../storage.ts";
import type { Database } from "./database.ts";

/** In order of name, so that two processes that define the same queues wait in one direction. */
const DEFINE = `INSERT INTO @.queues (name, notify)
  SELECT d.name, d.notify FROM unnest($1::text[], $2::boolean[]) AS d (name, notify)
  WHERE NOT EXISTS (
    SELECT FROM @.queues AS q WHERE q.name = d.name AND q.notify = d.notify)
  ORDER BY d.name
  ON CONFLICT (name) DO UPDATE SET notify = excluded.notify`;

const FIND = `SELECT q.id, q.paused
  FROM unnest($1::text[]) WITH ORDINALITY AS d (name, n) JOIN @.queues AS q ON q.name = d.name
  ORDER BY d.n`;

export async function define(
  database: Database,
  queues: readonly QueueDefinition[],
): Promise<QueueInfo[]> {
  if (queues.length === 0) return [];
  const names = queues.map(({ name }) => name);
  const latest = new Map(queues.map(({ name, notify }) => [name, notify]));
  await database.run(DEFINE, [[...latest.keys()], [...latest.values()]]);
  const rows = await database.rows(FIND, [names]);
  return rows.map((row) => ({ id: row["id"] as number, paused: row["paused"] as boolean }));
}

export async function setPaused(
  database: Database,
  ids: readonly number[],
  paused: boolean,
): Promise<void> {
  await database.run("UPDATE @.queues SET paused = $2 WHERE id = ANY ($1) AND paused <> $2", [
    ids,
    paused,
  ]);
}
