/** The SQL that reads everything unfinished, for `promote`. */

export const QUEUES =
  "SELECT id, name, paused, notify FROM batchwork_queues WHERE id > ? ORDER BY id";

export const PAYLOADS = `SELECT id, count, live, kept, data FROM batchwork_chunks
  WHERE id > ?
  ORDER BY id LIMIT ?`;

export const WAITING = `SELECT c.id, q.name AS queue, c.grp, c.count, c.bytes, c.due_at, c.kept,
    c.data,
    CASE WHEN c.id = g.head AND c.id <= q.counted THEN g.skip ELSE 0 END AS skip,
    c.id <= q.counted AND c.id <= g.flush_to AS flushed
  FROM batchwork_chunks AS c
  JOIN batchwork_queues AS q ON q.id = c.queue
  LEFT JOIN batchwork_groups AS g ON g.queue = c.queue AND g.grp = c.grp
  WHERE c.id > ? AND (c.id > q.counted OR (g.items > 0 AND c.id >= g.head))
  ORDER BY c.id LIMIT ?`;

export const BATCHES = `SELECT b.id, q.name AS queue, g.grp, b.token, b.settled, b.attempt,
    b.run_at, b.count, b.bytes, b.members, b.reason, b.parent, b.root, b.first_chunk,
    b.prepared, b.suspect,
    b.crashes, b.sealed_at, b.error
  FROM batchwork_batches AS b
  JOIN batchwork_queues AS q ON q.id = b.queue
  JOIN batchwork_groups AS g ON g.id = b.grp
  WHERE b.id > ? AND b.state <> 'done' ORDER BY b.id LIMIT ?`;

export const LETTERS = `SELECT d.*, q.name AS queue_name FROM batchwork_dead AS d
  JOIN batchwork_queues AS q ON q.id = d.queue
  WHERE d.id > ? ORDER BY d.id LIMIT ?`;

/** Of so many chunks at a time; the row's id is its chunk. */
export const KEYS = `SELECT k.chunk AS id, q.name AS queue, k.key, k.idx, k.digest, k.ttl_ms,
    k.expires_at
  FROM batchwork_keys AS k JOIN batchwork_queues AS q ON q.id = k.queue
  WHERE k.chunk > ?1 AND k.chunk <= (SELECT max(chunk) FROM (
    SELECT DISTINCT chunk FROM batchwork_keys WHERE chunk > ?1 ORDER BY chunk LIMIT ?2))
  ORDER BY k.chunk, k.idx`;

/** As `KEYS`. */
export const RESULTS = `SELECT r.chunk AS id, q.name AS queue, r.idx, r.kind, r.value, r.error,
    r.ended_at, r.expires_at
  FROM batchwork_results AS r JOIN batchwork_queues AS q ON q.id = r.queue
  WHERE r.chunk > ?1 AND r.chunk <= (SELECT max(chunk) FROM (
    SELECT DISTINCT chunk FROM batchwork_results WHERE chunk > ?1 ORDER BY chunk LIMIT ?2))
  ORDER BY r.chunk, r.idx`;

export const POOLS = `SELECT p.queue AS id, q.name AS queue, c.name AS callbacks,
    p.result_ttl_ms, p.parallelism
  FROM batchwork_pools AS p JOIN batchwork_queues AS q ON q.id = p.queue
  LEFT JOIN batchwork_queues AS c ON c.id = p.callbacks
  WHERE p.queue > ? ORDER BY p.queue LIMIT ?`;

export const SLICES = `SELECT s.id, q.name AS queue, c.grp AS lane, s.chunk, s.first AS first_index,
    s.count, s.list AS indices, s.attempt, s.run_at, s.company, s.crashes
  FROM batchwork_slices AS s JOIN batchwork_queues AS q ON q.id = s.queue
  JOIN batchwork_chunks AS c ON c.id = s.chunk
  WHERE s.id > ? ORDER BY s.id LIMIT ?`;

export const TASKS = `SELECT r.id, q.name AS queue, r.chunk, r.first AS first_index, r.count,
    r.list AS indices, r.kind, r.data, r.error, r.ended_at, r.expires_at
  FROM batchwork_task_results AS r JOIN batchwork_queues AS q ON q.id = r.queue
  WHERE r.id > ? ORDER BY r.id LIMIT ?`;
