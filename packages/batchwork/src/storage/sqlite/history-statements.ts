/** SQL that looks back. */

export const HISTORY = {
  // A group that was forgotten has no name any more, and its id is not used again.
  history: `SELECT b.id, b.parent, b.root, g.grp, b.count, b.attempt, b.reason, b.sealed_at,
      b.claimed_at, b.finished_at, b.error,
      EXISTS (SELECT 1 FROM batchwork_kept AS k WHERE k.batch = b.id) AS kept
    FROM batchwork_batches AS b INDEXED BY batchwork_batches_done
    LEFT JOIN batchwork_groups AS g ON g.id = b.grp
    WHERE b.queue = :queue AND b.state = 'done' AND b.id < :before
      AND (:group IS NULL OR g.grp = :group)
    ORDER BY b.id DESC LIMIT :limit + 0`,
} as const;
