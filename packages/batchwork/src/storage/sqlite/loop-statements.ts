/** SQL of loops. Prepared with the rest, once per connection. */

/** What a ping needs, also on a second handle of the user's. */
export const LOOP_INTAKE = {
  loopStatus: "SELECT status FROM batchwork_loops WHERE id = ?",
  wakeLoop: `UPDATE batchwork_loops SET status = 'active', run_at = ?, updated_at = ?
    WHERE id = ? AND status = 'idle'`,
} as const;

export const LOOPS = {
  insertLoop: `INSERT INTO batchwork_loops (kind, name, part, status, run_at, cursor, state,
      created_at, updated_at)
    VALUES (:kind, :name, :part, 'active', :runAt, :cursor, :state, :now, :now)
    ON CONFLICT (kind, name, part) DO NOTHING`,
  loop: "SELECT * FROM batchwork_loops WHERE id = ?",
  loopByKey: "SELECT * FROM batchwork_loops WHERE kind = ? AND name = ? AND part = ?",
  listLoops: `SELECT * FROM batchwork_loops INDEXED BY batchwork_loops_definition
    WHERE kind = :kind AND name = :name AND (:before IS NULL OR id < :before)
      AND (:statuses IS NULL OR status IN (SELECT value FROM json_each(:statuses)))
    ORDER BY id DESC LIMIT :limit + 0`,
  dueLoops: `SELECT * FROM batchwork_loops INDEXED BY batchwork_loops_due
    WHERE kind = ? AND name = ? AND run_at <= ? AND owner IS NULL
    ORDER BY run_at, id LIMIT ? + 0`,
  nextLoop: `SELECT min(run_at) AS at FROM batchwork_loops INDEXED BY batchwork_loops_due
    WHERE kind = ? AND name = ? AND run_at > ? AND owner IS NULL`,
  claimLoop: `UPDATE batchwork_loops SET status = ?, token = token + 1, owner = ?, updated_at = ?
    WHERE id = ?`,
  stepLoop: `UPDATE batchwork_loops SET status = :status, run_at = :runAt, owner = :owner,
      kicked = :kicked, step = :step, cursor = :cursor, state = :state, attempt = :attempt,
      crashes = 0, error = :error, updated_at = :now
    WHERE id = :loop`,
  // For an owner that goes on at once, in one statement. Indexes of columns that are set would be
  // written anew, even with the values they have.
  keepLoop: `UPDATE batchwork_loops SET step = :step, cursor = :cursor, state = :state,
      attempt = :attempt, crashes = 0, error = :error, updated_at = :now
    WHERE id = :loop AND token = :token AND step = :step - 1 AND status = 'active'
      AND owner IS NOT NULL AND kicked = 0 AND run_at <= :now
    RETURNING run_at AS runAt`,
  placeLoop: `UPDATE batchwork_loops SET status = :status, run_at = :runAt, owner = :owner,
      kicked = :kicked, updated_at = :now
    WHERE id = :loop`,
  // With all attempts again.
  clearLoop: "UPDATE batchwork_loops SET attempt = 0, crashes = 0, error = NULL WHERE id = ?",
  releaseLoop: `UPDATE batchwork_loops SET owner = NULL
    WHERE id = ? AND token = ? AND owner IS NOT NULL`,
  loopsOf: `SELECT id, token FROM batchwork_loops INDEXED BY batchwork_loops_owner
    WHERE owner = ?`,
  retireLoops: `UPDATE batchwork_loops INDEXED BY batchwork_loops_owner SET owner = NULL
    WHERE owner = ?`,
  crashLoops: `UPDATE batchwork_loops INDEXED BY batchwork_loops_owner
    SET owner = NULL, crashes = crashes + 1 WHERE owner = ?`,
  deleteLoop: `DELETE FROM batchwork_loops
    WHERE id = ? AND status IN (SELECT value FROM json_each(?))`,
  deleteLoopLetters: "DELETE FROM batchwork_loop_dead WHERE loop = ?",
  insertLoopNote: "INSERT INTO batchwork_loop_notes (loop, step, note) VALUES (?, ?, ?)",
  loopNotes: `SELECT step, note FROM batchwork_loop_notes
    WHERE loop = ? AND step > ? ORDER BY step LIMIT ? + 0`,
  deleteLoopNotes: "DELETE FROM batchwork_loop_notes WHERE loop = ?",
  insertLoopLetter: `INSERT INTO batchwork_loop_dead (loop, item, error, attempts, died_at)
    VALUES (?, ?, ?, ?, ?)`,
  deleteLoopLetter: "DELETE FROM batchwork_loop_dead WHERE id = ? AND loop = ?",
  loopLetters: `SELECT d.*, l.part FROM batchwork_loop_dead AS d
    JOIN batchwork_loops AS l ON l.id = d.loop
    WHERE l.kind = :kind AND l.name = :name AND (:part IS NULL OR l.part = :part)
      AND d.id > :after AND d.marked >= :marked
    ORDER BY d.id LIMIT :limit + 0`,
  discardLoopLetters: `DELETE FROM batchwork_loop_dead
    WHERE loop IN (SELECT id FROM batchwork_loops WHERE kind = :kind AND name = :name)
      AND (:ids IS NULL OR id IN (SELECT value FROM json_each(:ids)))`,
  lettersToMark: `SELECT DISTINCT loop FROM batchwork_loop_dead
    WHERE loop IN (SELECT id FROM batchwork_loops WHERE kind = :kind AND name = :name)
      AND (:ids IS NULL OR id IN (SELECT value FROM json_each(:ids))) AND marked = 0`,
  markLoopLetters: `UPDATE batchwork_loop_dead SET marked = 1
    WHERE loop IN (SELECT id FROM batchwork_loops WHERE kind = :kind AND name = :name)
      AND (:ids IS NULL OR id IN (SELECT value FROM json_each(:ids))) AND marked = 0`,
} as const;
