/** SQL of throttled queues. */

export const THROTTLE = {
  // Each row knows how many came before it, so the window is counted by its first and its last.
  firstDelivery: `SELECT at, earlier FROM batchwork_deliveries
    WHERE queue = ? AND at > ? ORDER BY at LIMIT 1`,
  deliveredSoFar: `SELECT earlier + count AS n FROM batchwork_deliveries
    WHERE queue = ? ORDER BY at DESC LIMIT 1`,
  noteDeliveries: `INSERT INTO batchwork_deliveries (queue, at, earlier, count) VALUES (?, ?, ?, ?)
    ON CONFLICT (queue, at) DO UPDATE SET count = count + excluded.count`,
  forgetDeliveries: `DELETE FROM batchwork_deliveries WHERE queue = :queue AND at IN (
    SELECT at FROM batchwork_deliveries WHERE queue = :queue AND at <= :until
    ORDER BY at LIMIT :most + 0)`,
} as const;
