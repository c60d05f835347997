/** SQL of what is kept of work that is over. */

export const RETENTION = {
  definition: "SELECT version, settings FROM batchwork_queues WHERE id = ?",
  setDefinition: `UPDATE batchwork_queues SET version = ?, settings = ?, done_count = ?,
    done_age = ?, dead_count = ?, dead_age = ? WHERE id = ?`,
  retentions: "SELECT id, done_count, done_age, dead_count, dead_age FROM batchwork_queues",
  retention: `SELECT id, done_count, done_age, dead_count, dead_age FROM batchwork_queues
    WHERE id = ?`,
  keepItems: "INSERT OR IGNORE INTO batchwork_kept (batch, grp, data) VALUES (?, ?, ?)",
  keptItems: `SELECT b.queue, b.count, b.bytes, b.reason, b.root, b.prepared, b.keyed, k.grp, k.data
    FROM batchwork_kept AS k JOIN batchwork_batches AS b ON b.id = k.batch
    WHERE k.batch = ? AND b.queue = ?`,
  anyKept: "SELECT 1 FROM batchwork_kept LIMIT 1",
  insertGroup: `INSERT OR IGNORE INTO batchwork_groups (queue, grp, items, bytes, head)
    VALUES (?, ?, 0, 0, 0)`,
  insertReplayed: `INSERT INTO batchwork_batches (queue, grp, state, token, attempt, run_at, count,
      bytes, members, reason, parent, root, first_chunk, prepared, sealed_at)
    VALUES (?, ?, ?, 0, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  // What was finished a moment ago is still asked for by whoever lost the reply.
  finishedTooMany: `SELECT id FROM batchwork_batches INDEXED BY batchwork_batches_done
    WHERE queue = ? AND state = 'done' ORDER BY id DESC LIMIT 1 OFFSET ? + 0`,
  finishedBeyond: `SELECT id FROM (SELECT id, finished_at
      FROM batchwork_batches INDEXED BY batchwork_batches_done
      WHERE queue = ? AND state = 'done' AND id <= ? ORDER BY id LIMIT ? + 0)
    WHERE finished_at <= ?`,
  forgetBatches: "DELETE FROM batchwork_batches WHERE id IN (SELECT value FROM json_each(?))",
  forgetKept: "DELETE FROM batchwork_kept WHERE batch IN (SELECT value FROM json_each(?))",
  lettersTooMany: `SELECT id FROM batchwork_dead INDEXED BY batchwork_dead_queue
    WHERE queue = ? ORDER BY id DESC LIMIT 1 OFFSET ? + 0`,
  lettersBeyond: `SELECT id FROM (SELECT id, died_at, notice_at
      FROM batchwork_dead INDEXED BY batchwork_dead_queue
      WHERE queue = ? AND id <= ? ORDER BY id LIMIT ? + 0)
    WHERE died_at <= ? AND notice_at IS NULL`,
} as const;
