/** The SQL of idempotency keys. */

/** What every handle needs that takes part. */
export const KEYED_INTAKE = {
  findKey: `SELECT chunk, idx, digest FROM batchwork_keys
    WHERE queue = ? AND key = ? AND (expires_at IS NULL OR expires_at > ?)`,
  // The only row that may be in the way is one that is held no longer.
  holdKey: `INSERT INTO batchwork_keys (queue, key, chunk, idx, digest, ttl_ms)
    VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (queue, key) DO UPDATE SET chunk = excluded.chunk, idx = excluded.idx,
      digest = excluded.digest, ttl_ms = excluded.ttl_ms, expires_at = NULL`,
  markKeyed: "UPDATE batchwork_chunks SET keyed = 1 WHERE id = ?",
} as const;

export const KEYS = {
  anyKey: "SELECT 1 FROM batchwork_keys WHERE queue = ? LIMIT 1",
  endKeys: `UPDATE batchwork_keys SET expires_at = ? + ttl_ms
    WHERE chunk = ? AND idx >= ? AND idx < ?`,
  moveKey: "UPDATE batchwork_keys SET chunk = ?, idx = ? WHERE chunk = ? AND idx = ?",
  forgetKeys: `DELETE FROM batchwork_keys WHERE (queue, key) IN (
    SELECT queue, key FROM batchwork_keys INDEXED BY batchwork_keys_expired
    WHERE expires_at <= ? ORDER BY expires_at LIMIT ? + 0)`,
  itemsOfDead: `SELECT item_id FROM batchwork_dead
    WHERE queue = :queue AND (:ids IS NULL OR id IN (SELECT value FROM json_each(:ids)))`,
} as const;
