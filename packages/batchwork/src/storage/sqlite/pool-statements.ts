/** The SQL of pools. */

/** What stands for what below. */
const EXPANSIONS = {
  "@slice": `id, queue, chunk, key, priority, state, run_at, first, count, list, attempt, token,
    keyed, company, crashes`,
  // A chunk's group is "priority:key" (`core/lane.ts`).
  "@priority": "CAST(substr(grp, 1, instr(grp, ':') - 1) AS INTEGER)",
  "@key": "substr(grp, instr(grp, ':') + 1)",
} as const;

function expanded<K extends string>(texts: Readonly<Record<K, string>>): Record<K, string> {
  const all: Partial<Record<K, string>> = {};
  for (const name of Object.keys(texts) as K[]) {
    let text: string = texts[name];
    for (const [short, long] of Object.entries(EXPANSIONS)) text = text.replaceAll(short, long);
    all[name] = text;
  }
  return all as Record<K, string>;
}

export const POOLS = expanded({
  definePool: `INSERT INTO batchwork_pools (queue, callbacks, result_ttl_ms) VALUES (?, ?, ?)
    ON CONFLICT (queue) DO UPDATE SET callbacks = excluded.callbacks,
      result_ttl_ms = excluded.result_ttl_ms
    WHERE callbacks IS NOT excluded.callbacks OR result_ttl_ms IS NOT excluded.result_ttl_ms`,
  pool: `SELECT queue, callbacks, result_ttl_ms, parallelism FROM batchwork_pools
    WHERE queue = ?`,
  setParallelism: `UPDATE batchwork_pools SET parallelism = :n
    WHERE queue = :queue AND parallelism IS NOT :n`,

  // Chunks that no claim has seen yet. NOT INDEXED: their ids are a short range at the end.
  lastOfSome: `SELECT id FROM batchwork_chunks NOT INDEXED WHERE id > ? AND queue = ?
    ORDER BY id LIMIT 1 OFFSET ? + 0`,
  sliceChunks: `INSERT INTO batchwork_slices (queue, chunk, key, priority, state, run_at, first,
      count, keyed)
    SELECT queue, id, @key, @priority, CASE WHEN due_at > :now THEN 'delayed' ELSE 'ready' END,
      due_at, 0, count, keyed
    FROM batchwork_chunks NOT INDEXED WHERE id > :from AND id <= :to AND queue = :queue
    ORDER BY id`,
  openKeysOfChunks: `INSERT INTO batchwork_serial_keys (queue, key, priority, turn, open)
    SELECT queue, @key AS k, min(@priority), :turn, 1
    FROM batchwork_chunks NOT INDEXED
    WHERE id > :from AND id <= :to AND queue = :queue AND due_at <= :now GROUP BY k
    ON CONFLICT (queue, key) DO UPDATE SET priority = min(priority, excluded.priority),
      turn = CASE WHEN open = 1 THEN turn ELSE excluded.turn END, open = 1`,
  readyDelayed: `UPDATE batchwork_slices SET state = 'ready' WHERE id IN (
      SELECT id FROM batchwork_slices INDEXED BY batchwork_slices_delayed
      WHERE queue = ? AND state = 'delayed' AND run_at <= ? ORDER BY run_at LIMIT ? + 0)
    RETURNING key, priority`,
  openKey: `INSERT INTO batchwork_serial_keys (queue, key, priority, turn, open)
    VALUES (?, ?, ?, ?, 1)
    ON CONFLICT (queue, key) DO UPDATE SET priority = min(priority, excluded.priority),
      turn = CASE WHEN open = 1 THEN turn ELSE excluded.turn END, open = 1`,

  openKeys: `SELECT key, priority, running FROM batchwork_serial_keys
    INDEXED BY batchwork_serial_keys_open
    WHERE queue = ? AND open = 1 ORDER BY priority, turn LIMIT ? + 0`,
  anyOpenKey: `SELECT 1 FROM batchwork_serial_keys INDEXED BY batchwork_serial_keys_open
    WHERE queue = ? AND open = 1 LIMIT 1`,
  serialKey: `SELECT key, priority, running FROM batchwork_serial_keys
    WHERE queue = ? AND key = ?`,
  firstReadySlices: `SELECT @slice FROM batchwork_slices
    INDEXED BY batchwork_slices_ready
    WHERE queue = ? AND key = ? AND state = 'ready'
    ORDER BY priority, run_at, chunk, first LIMIT ? + 0`,
  saveKey: `UPDATE batchwork_serial_keys SET priority = ?, turn = ?, running = ?, open = ?
    WHERE queue = ? AND key = ?`,
  // A task less of the key runs, so it is to be looked at again where something waits.
  tasksEnded: `UPDATE batchwork_serial_keys SET running = running - :n, open = EXISTS (
      SELECT 1 FROM batchwork_slices WHERE queue = :queue AND key = :key AND state = 'ready')
    WHERE queue = :queue AND key = :key`,
  tasksStarted: `INSERT INTO batchwork_serial_keys (queue, key, priority, turn, running, open)
    VALUES (?, ?, ?, ?, ?, 0)
    ON CONFLICT (queue, key) DO UPDATE SET running = running + excluded.running`,
  forgetKey: `DELETE FROM batchwork_serial_keys
    WHERE queue = ? AND key = ? AND open = 0 AND running <= 0`,
  nextDelayed: `SELECT min(run_at) AS at FROM batchwork_slices
    WHERE queue = ? AND state = 'delayed'`,
  tasksRunning: `SELECT coalesce(sum(count), 0) AS n FROM batchwork_slices
    INDEXED BY batchwork_slices_leased WHERE queue = ? AND state = 'leased'`,
  anySuspectSlice: `SELECT 1 FROM batchwork_slices INDEXED BY batchwork_slices_suspect
    WHERE queue = ? AND state = 'suspect' LIMIT 1`,
  suspectSlices: `SELECT s.*, coalesce(k.running, 0) AS running
    FROM batchwork_slices AS s INDEXED BY batchwork_slices_suspect
    LEFT JOIN batchwork_serial_keys AS k ON k.queue = s.queue AND k.key = s.key
    WHERE s.queue = ? AND s.state = 'suspect' AND (s.key = '' OR coalesce(k.running, 0) < ?)
    ORDER BY s.company DESC, s.run_at, s.chunk, s.first LIMIT ? + 0`,

  slice: `SELECT @slice FROM batchwork_slices WHERE id = ?`,
  leaseSlice: `UPDATE batchwork_slices SET state = 'leased', token = token + 1, owner = ?,
    alone = ? WHERE id = ?`,
  leasePiece: `INSERT INTO batchwork_slices (queue, chunk, key, priority, state, run_at, first,
      count, list, attempt, token, owner, keyed, alone, company, crashes)
    SELECT queue, chunk, key, priority, 'leased', run_at, :first, :count, :list, attempt, 1, :owner,
      keyed, :alone, company, crashes
    FROM batchwork_slices WHERE id = :id`,
  insertAgain: `INSERT INTO batchwork_slices (queue, chunk, key, priority, state, run_at, first,
      count, list, attempt, keyed)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  shrinkSlice: "UPDATE batchwork_slices SET first = ?, count = ?, list = ? WHERE id = ?",
  deleteSlice: "DELETE FROM batchwork_slices WHERE id = ?",
  // What was held against it before is held against it still.
  giveSliceBack: `UPDATE batchwork_slices SET owner = NULL,
    state = CASE WHEN company IS NULL THEN 'ready' ELSE 'suspect' END WHERE id = ?`,
  suspectSlice: `UPDATE batchwork_slices SET state = 'suspect', owner = NULL,
    company_before = company, crashes_before = crashes, company = ?, crashes = ?, suspected_by = ?
    WHERE id = ?`,
  absolveSlices: `UPDATE batchwork_slices SET company = company_before, crashes = crashes_before,
      suspected_by = NULL, state = CASE WHEN company_before IS NULL THEN 'ready' ELSE state END
    WHERE state = 'suspect' AND suspected_by = ? RETURNING queue, key, priority, state`,
  slicesHeldBy: `SELECT @slice, alone FROM batchwork_slices
    INDEXED BY batchwork_slices_owner WHERE state = 'leased' AND owner = ? ORDER BY id`,
  slicesOfChunk: `SELECT @slice FROM batchwork_slices
    WHERE queue = ? AND chunk = ? ORDER BY first`,
  slicesToCancel: `SELECT @slice FROM batchwork_slices AS s
    INDEXED BY batchwork_slices_chunk
    WHERE queue = ? AND (state <> 'leased'
      OR (SELECT count(*) FROM batchwork_cancels AS c WHERE c.slice = s.id) < count)
    ORDER BY chunk, first LIMIT ? + 0`,

  anyCancel: "SELECT 1 FROM batchwork_cancels LIMIT 1",
  cancelTask: "INSERT INTO batchwork_cancels (slice, idx) VALUES (?, ?) ON CONFLICT DO NOTHING",
  cancelsOf: "SELECT idx FROM batchwork_cancels WHERE slice = ? ORDER BY idx",
  cancelsHeldBy: `SELECT c.slice, c.idx, s.token FROM batchwork_cancels AS c
    JOIN batchwork_slices AS s ON s.id = c.slice WHERE s.owner = ? AND s.state = 'leased'
    ORDER BY c.slice, c.idx`,
  dropCancel: "DELETE FROM batchwork_cancels WHERE slice = ? AND idx = ?",
  dropCancels: "DELETE FROM batchwork_cancels WHERE slice = ?",

  taskChunk: "SELECT count, bytes, grp, kept, data FROM batchwork_chunks WHERE id = ?",
  freshChunk: `SELECT count, due_at FROM batchwork_chunks
    WHERE id = ? AND id > ? AND queue = ?`,
  keepTaskResults: `INSERT INTO batchwork_task_results (queue, chunk, first, count, list, kind,
      data, error, ended_at, expires_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  taskResults: `SELECT first, count, list, kind, data, error, ended_at FROM batchwork_task_results
    WHERE chunk = ? AND queue = ? AND (expires_at IS NULL OR expires_at > ?)`,
  forgetTaskResults: `DELETE FROM batchwork_task_results WHERE id IN (
    SELECT id FROM batchwork_task_results INDEXED BY batchwork_task_results_expired
    WHERE expires_at <= ? ORDER BY expires_at LIMIT ? + 0)`,

  taskTotals: `SELECT
      coalesce(sum(CASE WHEN state IN ('ready', 'suspect') THEN count END), 0) AS waiting,
      coalesce(sum(CASE WHEN state = 'delayed' THEN count END), 0) AS delayed,
      coalesce(sum(CASE WHEN state <> 'leased' AND attempt > 1 THEN count END), 0) AS retrying,
      coalesce(sum(CASE WHEN state = 'suspect' THEN count END), 0) AS suspects,
      coalesce(sum(CASE WHEN state = 'leased' THEN count END), 0) AS running,
      count(DISTINCT key) AS keys
    FROM batchwork_slices WHERE queue = ?`,
  cancelsOfQueue: `SELECT count(*) AS n FROM batchwork_cancels AS c
    JOIN batchwork_slices AS s ON s.id = c.slice WHERE s.queue = ?`,
});
