/** SQL of what is pending in queues that have a limit. */

/** What every handle needs that takes part. */
export const PENDING_INTAKE = {
  pending: "SELECT items, bytes FROM batchwork_pending WHERE queue = ?",
} as const;

/**
 * Kept up to date by triggers, whoever writes, and only while a queue has a limit: without one
 * there are none. The bytes of a chunk count by the share of its items that live. What a batch was
 * prepared to has the queue's id with a minus.
 */
export const PENDING_TRIGGERS = [
  `CREATE TRIGGER IF NOT EXISTS batchwork_pending_in AFTER INSERT ON batchwork_chunks BEGIN
    UPDATE batchwork_pending SET items = items + NEW.live, bytes = bytes + NEW.bytes
    WHERE queue = abs(NEW.queue); END`,
  `CREATE TRIGGER IF NOT EXISTS batchwork_pending_part
    AFTER UPDATE OF live, bytes, count ON batchwork_chunks BEGIN
    UPDATE batchwork_pending SET items = items + NEW.live - OLD.live,
      bytes = bytes + NEW.bytes * NEW.live / max(NEW.count, 1)
        - OLD.bytes * OLD.live / max(OLD.count, 1)
    WHERE queue = abs(NEW.queue); END`,
  `CREATE TRIGGER IF NOT EXISTS batchwork_pending_out AFTER DELETE ON batchwork_chunks BEGIN
    UPDATE batchwork_pending SET items = items - OLD.live,
      bytes = bytes - OLD.bytes * OLD.live / max(OLD.count, 1)
    WHERE queue = abs(OLD.queue); END`,
] as const;

export const PENDING_TRIGGERS_GONE = [
  "DROP TRIGGER IF EXISTS batchwork_pending_in",
  "DROP TRIGGER IF EXISTS batchwork_pending_part",
  "DROP TRIGGER IF EXISTS batchwork_pending_out",
] as const;

export const PENDING = {
  countPending: `INSERT INTO batchwork_pending (queue, items, bytes)
    SELECT :queue, coalesce(sum(live), 0), coalesce(sum(bytes * live / max(count, 1)), 0)
    FROM batchwork_chunks WHERE queue IN (:queue, -:queue)`,
  // What the triggers would have counted.
  pendingUncounted: `SELECT coalesce(sum(live), 0) AS items,
      coalesce(sum(bytes * live / max(count, 1)), 0) AS bytes
    FROM batchwork_chunks WHERE queue IN (:queue, -:queue)`,
  anyPending: "SELECT 1 FROM batchwork_pending LIMIT 1",
  stopPending: "DELETE FROM batchwork_pending WHERE queue = ?",
} as const;
