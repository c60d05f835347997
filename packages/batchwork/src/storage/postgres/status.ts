/** What is left, what waits, what runs. */
import { BatchworkError } from "../../core/errors.ts";
import type { Amount } from "../../core/pending.ts";
import type { Throttle } from "../../core/throttle.ts";
import type { Outstanding, QueueCounts, RunningBatch } from "../storage.ts";
import type { Database } from "./database.ts";
import { groupName, storedGroup } from "../../core/group-name.ts";

/** Batches that `running` lists at most. */
const RUNNING_MAX = 1000;

const RUNNING = `SELECT b.id AS batch, b.token, g.name AS grp, b.count, b.attempt,
    b.owner AS incarnation, b.claimed_at AS "claimedAt", b.percent, b.note
  FROM @.batches AS b JOIN @.groups AS g ON g.id = b.grp
  WHERE b.state = 'leased' AND b.queue = $1 ORDER BY b.claimed_at, b.id LIMIT $2`;

export async function makeDue(
  database: Database,
  queue: number,
  group: string | null,
): Promise<number> {
  const values = [queue, nameOf(group), database.at];
  return (await database.row("SELECT @.make_due($1, $2, $3) AS mark", values))["mark"] as number;
}

export async function outstanding(database: Database, query: Outstanding): Promise<number> {
  const { queue, group, mark, until } = query;
  const values = [queue, nameOf(group), mark, until === "finished"];
  const row = await database.row("SELECT @.outstanding($1, $2, $3, $4) AS n", values);
  return row["n"] as number;
}

export async function counts(
  database: Database,
  queue: number,
  group: string | null,
): Promise<QueueCounts> {
  const sql = `SELECT paused, waiting, groups, retrying, leased, dead, due_at AS "dueAt"
    FROM @.counts($1, $2)`;
  const row = await database.row(sql, [queue, nameOf(group)]);
  if (row["paused"] !== null) return { ...row } as unknown as QueueCounts;
  const message = `No queue has the id ${queue}: define it first.`;
  throw new BatchworkError("STORAGE_FAILED", message, { field: "queue", value: queue });
}

export async function throttledUntil(
  database: Database,
  queue: number,
  throttle: Throttle,
): Promise<number | null> {
  const values = [queue, JSON.stringify(throttle), database.at];
  const row = await database.row("SELECT @.throttled_until($1, $2, $3) AS until", values);
  return row["until"] as number | null;
}

export async function pending(database: Database, queue: number): Promise<Amount> {
  const row = await database.row("SELECT items, bytes FROM @.pending($1)", [queue]);
  return { items: row["items"] as number, bytes: row["bytes"] as number };
}

export async function running(database: Database, queue: number): Promise<RunningBatch[]> {
  const rows = await database.rows(RUNNING, [queue, RUNNING_MAX]);
  return rows.map(({ grp, ...row }) => {
    return { ...(row as unknown as RunningBatch), group: groupName(grp as string) };
  });
}

function nameOf(group: string | null): string | null {
  return group === null ? null : storedGroup(group);
}
