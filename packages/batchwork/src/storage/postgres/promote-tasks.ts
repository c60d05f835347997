/** How the rows of pools are written by a promotion, and read back to be compared. */
import type { PromotionRows } from "../promotion.ts";

type Row = Readonly<Record<string, unknown>>;

export const WRITE_POOLS = `INSERT INTO @.pools (queue, callbacks, result_ttl_ms, parallelism)
  SELECT q.id, c.id, r."resultTtlMs", r.parallelism
  FROM json_to_recordset($1) AS r (queue text, callbacks text, "resultTtlMs" bigint,
    parallelism bigint)
  JOIN @.queues AS q ON q.name = r.queue LEFT JOIN @.queues AS c ON c.name = r.callbacks
  WHERE $2::bigint IS NOT NULL
  ON CONFLICT (queue) DO UPDATE SET callbacks = excluded.callbacks,
    result_ttl_ms = excluded.result_ttl_ms, parallelism = excluded.parallelism`;

export const READ_POOLS = `SELECT q.name AS queue, c.name AS callbacks, p.result_ttl_ms,
    p.parallelism
  FROM @.pools AS p JOIN @.queues AS q ON q.id = p.queue
  LEFT JOIN @.queues AS c ON c.id = p.callbacks`;

export function promotedPool(row: Row): PromotionRows["pools"] {
  return {
    queue: row["queue"] as string,
    callbacks: row["callbacks"] as string | null,
    resultTtlMs: row["result_ttl_ms"] as number | null,
    parallelism: row["parallelism"] as number | null,
  };
}

/** What is no suspect is delayed: the first claim readies what is due. */
export const WRITE_SLICES = `INSERT INTO @.slices (queue, chunk, lane, key, priority, state, run_at,
    first_index, count, indices, attempt, company, crashes)
  SELECT q.id, r.chunk, r."group", substr(r."group", strpos(r."group", ':') + 1),
    coalesce(substring(r."group" FROM '^(-?[0-9]{1,18}):')::bigint, 0),
    CASE WHEN r.company IS NULL THEN 'delayed' ELSE 'suspect' END, $2::bigint + r."runInMs",
    r."from", r.count, CASE WHEN json_typeof(r.indices) = 'array'
      THEN ARRAY(SELECT i::int FROM json_array_elements_text(r.indices) AS i) END,
    r.attempt, r.company, r.crashes
  FROM json_to_recordset($1) AS r (queue text, "group" text, chunk bigint, "from" int, count int,
    indices json, attempt int, "runInMs" bigint, company int, crashes int)
  JOIN @.queues AS q ON q.name = r.queue`;

export const READ_SLICES = `SELECT q.name AS queue, s.lane, s.chunk, s.first_index, s.count,
    array_to_json(s.indices)::text AS indices, s.attempt, s.run_at, s.company, s.crashes
  FROM @.slices AS s JOIN @.queues AS q ON q.id = s.queue`;

export function promotedSlice(row: Row, now: number): PromotionRows["slices"] {
  return {
    queue: row["queue"] as string,
    group: row["lane"] as string,
    chunk: row["chunk"] as number,
    from: row["first_index"] as number,
    count: row["count"] as number,
    indices: listOf(row),
    attempt: row["attempt"] as number,
    runInMs: (row["run_at"] as number) - now,
    company: row["company"] as number | null,
    crashes: row["crashes"] as number,
  };
}

export const WRITE_TASKS = `INSERT INTO @.task_results (queue, chunk, first_index, count, indices,
    kind, data, error, ended_at, expires_at)
  SELECT q.id, r.chunk, r."from", r.ended, CASE WHEN json_typeof(r.indices) = 'array'
      THEN ARRAY(SELECT i::int FROM json_array_elements_text(r.indices) AS i) END,
    r.kind, r.data, r.error, r."endedAt", $2::bigint + r."expiresInMs"
  FROM json_to_recordset($1) AS r (queue text, chunk bigint, "from" int, ended int, indices json,
    kind text, data text, error text, "endedAt" bigint, "expiresInMs" bigint)
  JOIN @.queues AS q ON q.name = r.queue`;

export const READ_TASKS = `SELECT q.name AS queue, r.chunk, r.first_index, r.count,
    array_to_json(r.indices)::text AS indices, r.kind, r.data, r.error, r.ended_at, r.expires_at
  FROM @.task_results AS r JOIN @.queues AS q ON q.id = r.queue`;

export function promotedTasks(row: Row, now: number): PromotionRows["tasks"] {
  const expiresAt = row["expires_at"] as number | null;
  return {
    queue: row["queue"] as string,
    chunk: row["chunk"] as number,
    from: row["first_index"] as number,
    ended: row["count"] as number,
    indices: listOf(row),
    kind: row["kind"] as string,
    data: row["data"] as string | null,
    error: row["error"] as string | null,
    endedAt: row["ended_at"] as number,
    expiresInMs: expiresAt === null ? null : expiresAt - now,
  };
}

function listOf(row: Row): readonly number[] | null {
  const list = row["indices"] as string | null;
  return list === null ? null : (JSON.parse(list) as number[]);
}
