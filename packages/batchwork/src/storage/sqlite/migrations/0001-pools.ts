/** The tables of pools, part of the first schema. Empty where there are none. */

export const pools = `
CREATE TABLE batchwork_pools (
  queue INTEGER PRIMARY KEY,
  -- The queue that is told when tasks end; NULL when nobody is.
  callbacks INTEGER,
  -- NULL for ever.
  result_ttl_ms INTEGER,
  -- Overrides what claims say.
  parallelism INTEGER
) STRICT;

-- Tasks of one chunk that are not over, with the same attempt. The first claim that sees a chunk
-- makes one of it; claims cut pieces off.
CREATE TABLE batchwork_slices (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  queue INTEGER NOT NULL,
  chunk INTEGER NOT NULL,
  key TEXT NOT NULL,
  priority INTEGER NOT NULL,
  -- What is delayed becomes ready by a claim; suspects wait apart.
  state TEXT NOT NULL CHECK (state IN ('delayed', 'ready', 'suspect', 'leased')),
  run_at INTEGER NOT NULL,
  -- Its tasks: the first index and how many; as JSON where they do not follow one another.
  first INTEGER NOT NULL,
  count INTEGER NOT NULL,
  list TEXT,
  attempt INTEGER NOT NULL DEFAULT 1,
  token INTEGER NOT NULL DEFAULT 0,
  owner INTEGER,
  -- True when its tasks may have rows in batchwork_keys.
  keyed INTEGER NOT NULL,
  -- True while the current lease was given to a process that runs nothing else.
  alone INTEGER NOT NULL DEFAULT 0,
  -- How many may run together with them; NULL for those that are no suspects.
  company INTEGER,
  crashes INTEGER NOT NULL DEFAULT 0,
  -- The incarnation whose death is held against them, and what was known before.
  suspected_by INTEGER,
  company_before INTEGER,
  crashes_before INTEGER
) STRICT;
CREATE INDEX batchwork_slices_chunk ON batchwork_slices (queue, chunk, first);
CREATE INDEX batchwork_slices_delayed ON batchwork_slices (queue, run_at)
  WHERE state = 'delayed';
CREATE INDEX batchwork_slices_ready ON batchwork_slices
  (queue, key, priority, run_at, chunk, first) WHERE state = 'ready';
CREATE INDEX batchwork_slices_suspect ON batchwork_slices
  (queue, company DESC, run_at, chunk, first)
  WHERE state = 'suspect';
CREATE INDEX batchwork_slices_leased ON batchwork_slices (queue, count) WHERE state = 'leased';
CREATE INDEX batchwork_slices_owner ON batchwork_slices (owner) WHERE state = 'leased';

-- Serial keys in line, the empty one included; written by claims and settlements.
CREATE TABLE batchwork_serial_keys (
  queue INTEGER NOT NULL,
  key TEXT NOT NULL,
  -- The best of its ready tasks. Never worse than that.
  priority INTEGER NOT NULL,
  turn INTEGER NOT NULL,
  -- Leased tasks; not counted for the empty key.
  running INTEGER NOT NULL DEFAULT 0,
  -- True when a claim has to look at it.
  open INTEGER NOT NULL,
  PRIMARY KEY (queue, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX batchwork_serial_keys_open ON batchwork_serial_keys (queue, priority, turn)
  WHERE open = 1;

-- Tasks that were cancelled while they ran, until their slice is settled or given back.
CREATE TABLE batchwork_cancels (
  slice INTEGER NOT NULL,
  idx INTEGER NOT NULL,
  PRIMARY KEY (slice, idx)
) STRICT, WITHOUT ROWID;

-- How tasks ended, one row for those of a chunk that ended the same way together.
CREATE TABLE batchwork_task_results (
  id INTEGER PRIMARY KEY,
  queue INTEGER NOT NULL,
  chunk INTEGER NOT NULL,
  first INTEGER NOT NULL,
  count INTEGER NOT NULL,
  list TEXT,
  kind TEXT NOT NULL,
  -- One text per task, joined; NULL when none of them returned anything.
  data TEXT,
  error TEXT,
  ended_at INTEGER NOT NULL,
  -- NULL for ever.
  expires_at INTEGER
) STRICT;
CREATE INDEX batchwork_task_results_chunk ON batchwork_task_results (chunk, first);
CREATE INDEX batchwork_task_results_expired ON batchwork_task_results (expires_at)
  WHERE expires_at IS NOT NULL;
`;
