/** SQL of items that are left out when their key is held. */

/** What every handle needs that takes part. */
export const DEDUP_INTAKE = {
  holdDedupKey: `INSERT OR IGNORE INTO batchwork_dedup_keys (queue, grp, key, chunk, idx)
    VALUES (?, ?, ?, ?, ?)`,
  markDedup: "UPDATE batchwork_chunks SET dedup = 1 WHERE id = ?",
  keepSome: `UPDATE batchwork_chunks SET dedup = 1, kept = ?, count = ?, live = ?, bytes = ?
    WHERE id = ?`,
  dropChunk: "DELETE FROM batchwork_chunks WHERE id = ?",
  dropPayload: "DELETE FROM batchwork_payloads WHERE chunk = ?",
} as const;

export const DEDUP = {
  releaseDedupKeys: `DELETE FROM batchwork_dedup_keys
    WHERE chunk = ? AND idx >= ? AND idx <= ?`,
} as const;
