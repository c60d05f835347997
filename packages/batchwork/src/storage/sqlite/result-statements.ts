/** The SQL of results. */

export const RESULTS = {
  keepResult: `INSERT INTO batchwork_results
      (chunk, idx, queue, kind, value, error, ended_at, expires_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (chunk, idx) DO NOTHING`,
  resultOf: `SELECT kind, value, error, ended_at FROM batchwork_results
    WHERE chunk = ? AND idx = ? AND queue = ? AND (expires_at IS NULL OR expires_at > ?)`,
  hasItem: "SELECT 1 FROM batchwork_chunks WHERE id = ? AND queue = ? AND count > ?",
  // One part for each partial index.
  preparedMembers: `
    SELECT members FROM batchwork_batches INDEXED BY batchwork_batches_leased
      WHERE state = 'leased' AND queue = :queue AND prepared = 1
    UNION ALL SELECT members FROM batchwork_batches INDEXED BY batchwork_batches_ready
      WHERE state = 'ready' AND suspect = 0 AND queue = :queue AND prepared = 1
    UNION ALL SELECT members FROM batchwork_batches INDEXED BY batchwork_batches_suspect
      WHERE state = 'ready' AND suspect = 1 AND queue = :queue AND prepared = 1`,
  forgetResults: `DELETE FROM batchwork_results WHERE (chunk, idx) IN (
    SELECT chunk, idx FROM batchwork_results INDEXED BY batchwork_results_expired
    WHERE expires_at <= ? ORDER BY expires_at LIMIT ? + 0)`,
} as const;
