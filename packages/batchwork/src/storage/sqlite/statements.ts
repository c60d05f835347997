/**
 * All SQL that runs after the schema is in place, by topic. Prepared once per connection.
 *
 * `LIMIT ? + 0`: the planner looks at what is bound to a bare `LIMIT ?`, so each new value would
 * have the statement prepared again, at several times the cost of running it.
 */

const GROUP_COLUMNS = `id, grp, items, bytes, head, skip, due_at, flush_to, active, ready, blocked,
  ready_at, wake_at, turn`;

const BATCH_COLUMNS = `id, queue, grp, state, token, settled, attempt, run_at, count, bytes,
  members, reason, parent, root, first_chunk, keyed, prepared, alone, suspect, crashes, sealed_at`;

/** What every handle needs that takes part: also a second one of the user's, for `addSync`. */
export const INTAKE = {
  readClock: "SELECT at, turn, total_changes() AS changes FROM batchwork_clock WHERE id = 1",
  // Only together with other changes: a transaction that changed nothing costs no sync of the disk.
  writeClock: `UPDATE batchwork_clock SET at = ?, turn = ?
    WHERE id = 1 AND total_changes() > ?`,
  insertChunk: `INSERT INTO batchwork_chunks (queue, grp, count, bytes, live, due_at, data)
    VALUES (?, ?, ?, ?, ?, ?, ?)`,
  insertPayload: "INSERT INTO batchwork_payloads (chunk, data) VALUES (?, ?)",
} as const;

export const QUEUES = {
  queueByName: "SELECT id, paused, notify FROM batchwork_queues WHERE name = ?",
  insertQueue: "INSERT INTO batchwork_queues (name, notify) VALUES (?, ?)",
  setNotify: "UPDATE batchwork_queues SET notify = ? WHERE id = ?",
  setPaused: "UPDATE batchwork_queues SET paused = ? WHERE id = ? AND paused <> ?",
  queue: `SELECT id, paused, notify, counted, max_size, max_bytes, group_concurrency
    FROM batchwork_queues WHERE id = ?`,
  setCounted: "UPDATE batchwork_queues SET counted = ? WHERE id = ?",
  setCaps: `UPDATE batchwork_queues SET max_size = ?, max_bytes = ?, group_concurrency = ?
    WHERE id = ? AND total_changes() > ?`,
} as const;

export const GROUPS = {
  lastChunk: "SELECT max(id) AS id FROM batchwork_chunks",
  // NOT INDEXED: the ids are a short range at the end; an index would go through the whole backlog.
  countChunks: `INSERT INTO batchwork_groups (queue, grp, items, bytes, head, due_at, wake_at, turn)
    SELECT queue, grp, sum(count), sum(bytes), min(id), min(due_at),
      CASE WHEN sum(count) >= :maxSize OR sum(bytes) >= :maxBytes THEN min(:now, min(due_at))
        ELSE min(due_at) END,
      :turn
    FROM batchwork_chunks NOT INDEXED WHERE id > :counted AND queue = :queue GROUP BY grp
    ORDER BY min(id)
    ON CONFLICT (queue, grp) DO UPDATE SET
      items = items + excluded.items,
      bytes = bytes + excluded.bytes,
      head = CASE WHEN items = 0 THEN excluded.head ELSE head END,
      due_at = CASE WHEN items = 0 THEN excluded.due_at ELSE min(due_at, excluded.due_at) END,
      turn = CASE WHEN wake_at <= :now THEN turn ELSE excluded.turn END,
      wake_at = CASE
        WHEN wake_at <= :now THEN wake_at
        WHEN items + excluded.items >= :maxSize OR bytes + excluded.bytes >= :maxBytes THEN :now
        ELSE min(coalesce(wake_at, excluded.due_at), excluded.due_at) END`,
  groupById: `SELECT ${GROUP_COLUMNS} FROM batchwork_groups WHERE id = ?`,
  groupByName: `SELECT ${GROUP_COLUMNS} FROM batchwork_groups WHERE queue = ? AND grp = ?`,
  groupsToRetry: `SELECT ${GROUP_COLUMNS} FROM batchwork_groups
    WHERE queue = ? AND ready_at <= ? AND blocked = 0 ORDER BY ready_at, turn LIMIT ? + 0`,
  groupsToSeal: `SELECT ${GROUP_COLUMNS} FROM batchwork_groups
    WHERE queue = ? AND wake_at <= ? AND blocked = 0 ORDER BY wake_at, turn LIMIT ? + 0`,
  nextLook: `SELECT
    (SELECT min(ready_at) FROM batchwork_groups
      WHERE queue = :queue AND ready_at > :now AND blocked = 0) AS ready,
    (SELECT min(wake_at) FROM batchwork_groups
      WHERE queue = :queue AND wake_at > :now AND blocked = 0) AS wake`,
  saveGroup: `UPDATE batchwork_groups SET items = ?, bytes = ?, head = ?, skip = ?, due_at = ?,
    active = ?, ready = ?, blocked = ?, ready_at = ?, wake_at = ?, turn = ? WHERE id = ?`,
  // A batch less is leased, so the group is to be looked at again if it was at its limit.
  changeGroup: `UPDATE batchwork_groups SET active = active + :active, ready = ready + :ready,
    blocked = 0, ready_at = min(coalesce(ready_at, :readyAt), coalesce(:readyAt, ready_at))
    WHERE id = :id`,
  wakeFull: `UPDATE batchwork_groups SET wake_at = :now, turn = :turn
    WHERE queue = :queue AND wake_at > :now AND (items >= :maxSize OR bytes >= :maxBytes)`,
  unblock: `UPDATE batchwork_groups SET blocked = 0
    WHERE queue = ? AND blocked = 1 AND active < ?`,
  flush: `UPDATE batchwork_groups SET flush_to = :mark, flushed_at = :now,
    turn = CASE WHEN wake_at <= :now THEN turn ELSE :turn END,
    wake_at = CASE WHEN wake_at <= :now THEN wake_at ELSE :now END
    WHERE queue = :queue AND items > 0 AND (:group IS NULL OR grp = :group)`,
  emptyGroups: `SELECT id FROM batchwork_groups AS g
    WHERE items = 0 AND active = 0 AND ready = 0 AND NOT EXISTS (
      SELECT 1 FROM batchwork_batches AS b
      WHERE b.state = 'ready' AND b.suspect = 1 AND b.queue = g.queue AND b.grp = g.id)
    LIMIT ? + 0`,
  // Not the highest id, or the next group would get it, while finished batches still name it.
  deleteGroups: `DELETE FROM batchwork_groups WHERE id IN (SELECT value FROM json_each(?))
    AND id < (SELECT max(id) FROM batchwork_groups)`,
} as const;

export const CHUNKS = {
  chunksFrom: `SELECT id, count, bytes, keyed, dedup, kept, data FROM batchwork_chunks
    WHERE queue = ? AND grp = ? AND id >= ? AND id <= ? ORDER BY id LIMIT ? + 0`,
  firstDue: `SELECT min(due_at) AS at FROM batchwork_chunks
    WHERE queue = ? AND grp = ? AND id >= ? AND id <= ?`,
  chunk: "SELECT count, bytes, kept, data FROM batchwork_chunks WHERE id = ?",
  // As bytes: drivers turn text that is not ASCII into a string five times slower than TextDecoder.
  payload: "SELECT CAST(data AS BLOB) AS data FROM batchwork_payloads WHERE chunk = ?",
  shrinkChunk: "UPDATE batchwork_chunks SET live = live - ? WHERE id = ? RETURNING live",
  deleteChunk: "DELETE FROM batchwork_chunks WHERE id = ?",
  deletePayload: "DELETE FROM batchwork_payloads WHERE chunk = ?",
  deleteChunks: "DELETE FROM batchwork_chunks WHERE id IN (SELECT value FROM json_each(?))",
  deletePayloads: "DELETE FROM batchwork_payloads WHERE chunk IN (SELECT value FROM json_each(?))",
} as const;

export const BATCHES = {
  insertSealed: `INSERT INTO batchwork_batches (queue, grp, state, token, owner, attempt, run_at,
      count, bytes, members, reason, first_chunk, keyed, sealed_at, claimed_at)
    VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  insertChild: `INSERT INTO batchwork_batches (queue, grp, state, token, attempt, run_at, count,
      bytes, members, reason, parent, root, first_chunk, keyed, prepared, sealed_at, error)
    VALUES (?, ?, 'ready', 0, ?, ?, ?, NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  batch: `SELECT ${BATCH_COLUMNS} FROM batchwork_batches WHERE id = ?`,
  leaseOf: `SELECT queue, grp, state, token, settled, members, keyed, suspect
    FROM batchwork_batches WHERE id = ?`,
  firstReady: `SELECT ${BATCH_COLUMNS} FROM batchwork_batches
    WHERE queue = ? AND grp = ? AND state = 'ready' AND suspect = 0 ORDER BY run_at, id LIMIT 1`,
  firstReadyAt: `SELECT min(run_at) AS at FROM batchwork_batches
    WHERE queue = ? AND grp = ? AND state = 'ready' AND suspect = 0`,
  anySuspect: `SELECT 1 FROM batchwork_batches INDEXED BY batchwork_batches_suspect
    WHERE state = 'ready' AND suspect = 1 LIMIT 1`,
  dueSuspect: `SELECT b.id, b.run_at FROM batchwork_batches AS b
    JOIN batchwork_groups AS g ON g.id = b.grp
    WHERE b.queue = ? AND b.state = 'ready' AND b.suspect = 1 AND b.run_at <= ? AND g.active < ?
    ORDER BY b.run_at, b.id LIMIT 1`,
  nextSuspect: `SELECT min(run_at) AS at FROM batchwork_batches
    WHERE queue = ? AND state = 'ready' AND suspect = 1 AND run_at > ?`,
  leaseBatch: `UPDATE batchwork_batches SET state = ?, token = ?, owner = ?, claimed_at = ?,
    alone = ?, percent = NULL, note = NULL WHERE id = ?`,
  finishBatch: `UPDATE batchwork_batches SET state = ?, settled = ?, members = NULL,
    owner = NULL, note = NULL, error = ?, finished_at = ? WHERE id = ?`,
  retryBatch: `UPDATE batchwork_batches SET state = ?, settled = token, owner = NULL,
    attempt = ?, run_at = ?, error = ? WHERE id = ?`,
  releaseBatch: `UPDATE batchwork_batches SET state = ?, owner = NULL, run_at = ?
    WHERE id = ?`,
  crashBatch: `UPDATE batchwork_batches SET state = ?, owner = NULL, run_at = ?, suspect = ?,
    crashes = ?, suspected_by = ?, suspected_alone = ? WHERE id = ?`,
  suspectedBy: `SELECT id, grp, run_at, crashes, suspected_alone
    FROM batchwork_batches INDEXED BY batchwork_batches_suspect
    WHERE state = 'ready' AND suspect = 1 AND suspected_by = ?`,
  absolveBatch: `UPDATE batchwork_batches SET suspect = ?, crashes = ?, suspected_by = NULL
    WHERE id = ?`,
  prepareBatch: `UPDATE batchwork_batches SET prepared = 1, count = ?, bytes = ?, members = ?
    WHERE id = ?`,
  progress: `UPDATE batchwork_batches SET percent = ?, note = ?
    WHERE id = ? AND token = ? AND state = 'leased'`,
  heldBy: `SELECT ${BATCH_COLUMNS} FROM batchwork_batches INDEXED BY batchwork_batches_leased
    WHERE state = 'leased' AND owner = ? ORDER BY id`,
  firstToForget: `SELECT id FROM batchwork_batches INDEXED BY batchwork_batches_done
    WHERE queue = ? AND state = 'done' ORDER BY id DESC LIMIT 1 OFFSET ? + 0`,
  forget: `DELETE FROM batchwork_batches WHERE id IN (
    SELECT id FROM batchwork_batches INDEXED BY batchwork_batches_done
    WHERE queue = ? AND state = 'done' AND id <= ? ORDER BY id LIMIT ? + 0)`,
} as const;

export const INCARNATIONS = {
  enroll: "INSERT INTO batchwork_incarnations (expires_at) VALUES (?)",
  isAlive: "SELECT 1 FROM batchwork_incarnations WHERE id = ?",
  heartbeat: "UPDATE batchwork_incarnations SET expires_at = ? WHERE id = ?",
  expired: "SELECT id, expires_at FROM batchwork_incarnations WHERE expires_at <= ? ORDER BY id",
  nextExpiry: "SELECT min(expires_at) AS at FROM batchwork_incarnations",
  bury: "DELETE FROM batchwork_incarnations WHERE id = ? AND expires_at = ?",
  retire: "DELETE FROM batchwork_incarnations WHERE id = ?",
} as const;

export const STATUS = {
  // Not max(id): a mark stands for all that was ever appended, also when it is gone by now.
  mark: "SELECT max(seq) AS id FROM sqlite_sequence WHERE name = 'batchwork_chunks'",
  // Where the due time of a backlog is not known, that of its oldest chunks stands for it.
  countedTotals: `SELECT coalesce(sum(items), 0) AS items, coalesce(sum(items > 0), 0) AS groups,
      coalesce(sum(active), 0) AS active, coalesce(sum(ready), 0) AS ready,
      min(CASE WHEN items > 0 AND head <= flush_to THEN flushed_at END) AS flushed_at,
      min(CASE WHEN items > 0 THEN coalesce(due_at,
        (SELECT min(due_at) FROM (SELECT c.due_at FROM batchwork_chunks AS c
          WHERE c.queue = g.queue AND c.grp = g.grp AND c.id >= g.head
          ORDER BY c.id LIMIT 100))) END) AS due_at
    FROM batchwork_groups AS g WHERE queue = :queue AND (:group IS NULL OR grp = :group)`,
  freshTotals: `SELECT coalesce(sum(items), 0) AS items, coalesce(sum(fresh), 0) AS groups,
      min(due_at) AS due_at
    FROM (SELECT sum(c.count) AS items, min(c.due_at) AS due_at, NOT EXISTS (
          SELECT 1 FROM batchwork_groups AS g
          WHERE g.queue = c.queue AND g.grp = c.grp AND g.items > 0) AS fresh
      FROM batchwork_chunks AS c NOT INDEXED
      WHERE c.id > :counted AND c.queue = :queue AND (:group IS NULL OR c.grp = :group)
      GROUP BY c.grp)`,
  suspects: `SELECT count(*) AS n FROM batchwork_batches INDEXED BY batchwork_batches_suspect
    WHERE queue = :queue AND state = 'ready' AND suspect = 1 AND (:id IS NULL OR grp = :id)`,
  deadCount: `SELECT count(*) AS n FROM batchwork_dead
    WHERE queue = :queue AND (:group IS NULL OR grp = :group)`,
  waitingGroups: `SELECT count(*) AS n FROM batchwork_groups
    WHERE queue = :queue AND items > 0 AND head <= :mark AND (:group IS NULL OR grp = :group)`,
  freshGroups: `SELECT count(*) AS n FROM (SELECT DISTINCT c.grp
      FROM batchwork_chunks AS c NOT INDEXED
      WHERE c.id > :counted AND c.id <= :mark AND c.queue = :queue
        AND (:group IS NULL OR c.grp = :group)) AS fresh
    WHERE NOT EXISTS (SELECT 1 FROM batchwork_groups AS g
      WHERE g.queue = :queue AND g.grp = fresh.grp AND g.items > 0 AND g.head <= :mark)`,
  liveBatches: `SELECT
    (SELECT count(*) FROM batchwork_batches INDEXED BY batchwork_batches_leased
      WHERE state = 'leased' AND queue = :queue AND first_chunk <= :mark
        AND (:id IS NULL OR grp = :id) AND (:all OR (parent IS NULL AND attempt = 1)))
    + (SELECT count(*) FROM batchwork_batches INDEXED BY batchwork_batches_ready
      WHERE state = 'ready' AND suspect = 0 AND queue = :queue AND first_chunk <= :mark
        AND (:id IS NULL OR grp = :id) AND (:all OR (parent IS NULL AND attempt = 1)))
    + (SELECT count(*) FROM batchwork_batches INDEXED BY batchwork_batches_suspect
      WHERE state = 'ready' AND suspect = 1 AND queue = :queue AND first_chunk <= :mark
        AND (:id IS NULL OR grp = :id) AND (:all OR (parent IS NULL AND attempt = 1))) AS n`,
  running: `SELECT b.id, b.token, g.grp, b.count, b.attempt, b.owner, b.claimed_at, b.percent,
      b.note
    FROM batchwork_batches AS b INDEXED BY batchwork_batches_leased
    JOIN batchwork_groups AS g ON g.id = b.grp
    WHERE b.state = 'leased' AND b.queue = ? ORDER BY b.claimed_at, b.id LIMIT ? + 0`,
} as const;

export const DEAD = {
  insertDead: `INSERT INTO batchwork_dead (queue, grp, item, item_id, error, attempts, crashes,
      batch, root, died_at, notice_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  dead: "SELECT * FROM batchwork_dead WHERE queue = ? AND id > ? ORDER BY id LIMIT ? + 0",
  deadOfGroup: `SELECT * FROM batchwork_dead WHERE queue = ? AND grp = ? AND id > ?
    ORDER BY id LIMIT ? + 0`,
  deadByIds: `SELECT * FROM batchwork_dead
    WHERE id IN (SELECT value FROM json_each(?)) AND queue = ? ORDER BY id`,
  deleteDead: `DELETE FROM batchwork_dead
    WHERE id IN (SELECT value FROM json_each(?)) AND queue = ?`,
  deleteAllDead: "DELETE FROM batchwork_dead WHERE queue = ?",
  unnotified: `SELECT * FROM batchwork_dead INDEXED BY batchwork_dead_notice
    WHERE queue = ? AND notice_at <= ? AND id > ? ORDER BY id LIMIT ? + 0`,
  unnotifiedOfBatch: `SELECT * FROM batchwork_dead INDEXED BY batchwork_dead_notice
    WHERE queue = ? AND notice_at <= ? AND id > ? AND batch = ? ORDER BY id`,
  postponeNotice: `UPDATE batchwork_dead SET notice_at = ?
    WHERE id IN (SELECT value FROM json_each(?))`,
  acknowledgeDead: `UPDATE batchwork_dead SET notice_at = NULL
    WHERE id IN (SELECT value FROM json_each(?)) AND notice_at IS NOT NULL`,
} as const;
