/** How the rows of pools are written by a promotion, and read back to be compared. */
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
