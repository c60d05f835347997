/** The first schema. */

export const initial = `
-- One row. The highest storage time that a commit carried, and the last place given out in a line.
CREATE TABLE batchwork_clock (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  at INTEGER NOT NULL,
  turn INTEGER NOT NULL
) STRICT;
INSERT INTO batchwork_clock (id, at, turn) VALUES (1, 0, 0);

-- Read by every claim, written by definitions, pauses and the first claim after an append.
CREATE TABLE batchwork_queues (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  -- What processes have agreed on, as JSON; NULL while nobody proposed anything.
  version INTEGER NOT NULL DEFAULT 0,
  settings TEXT,
  -- What is kept of finished batches and of dead letters; NULL for the default.
  done_count INTEGER,
  done_age INTEGER,
  dead_count INTEGER,
  dead_age INTEGER,
  paused INTEGER NOT NULL DEFAULT 0,
  notify INTEGER NOT NULL DEFAULT 0,
  -- Chunks up to this id are counted in their groups.
  counted INTEGER NOT NULL DEFAULT 0,
  -- The caps that the groups' wake_at was worked out with.
  max_size INTEGER,
  max_bytes INTEGER,
  group_concurrency INTEGER
) STRICT;

-- Inserted by appends; deleted when every item is done or dead. Sealing reads only.
CREATE TABLE batchwork_chunks (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  queue INTEGER NOT NULL,
  grp TEXT NOT NULL,
  count INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  -- Items that are neither done nor dead; kept up to date once the chunk is settled in parts.
  live INTEGER NOT NULL,
  due_at INTEGER NOT NULL,
  -- True when items of it have a row in batchwork_keys.
  keyed INTEGER NOT NULL DEFAULT 0,
  -- True when items of it may have a row in batchwork_dedup_keys.
  dedup INTEGER NOT NULL DEFAULT 0,
  -- The indices of its items, as JSON, where others were left out: these count for nothing.
  kept TEXT,
  -- The items when they are few; NULL when they have a row in batchwork_payloads.
  data TEXT
) STRICT;
CREATE INDEX batchwork_chunks_group ON batchwork_chunks (queue, grp);

-- Apart from the header, so that nothing that looks for chunks reads past their items.
CREATE TABLE batchwork_payloads (
  chunk INTEGER PRIMARY KEY,
  data TEXT NOT NULL
) STRICT;

-- Written by claims and settlements only; appends do not touch it.
CREATE TABLE batchwork_groups (
  id INTEGER PRIMARY KEY,
  queue INTEGER NOT NULL,
  grp TEXT NOT NULL,
  -- Unsealed items, and where they begin: the chunk, and how many of its items are sealed.
  items INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  head INTEGER NOT NULL,
  skip INTEGER NOT NULL DEFAULT 0,
  -- When the first of them is due; NULL when that is not known and has to be looked up.
  due_at INTEGER,
  -- flush() asked for the chunks up to this id, and when.
  flush_to INTEGER NOT NULL DEFAULT 0,
  flushed_at INTEGER NOT NULL DEFAULT 0,
  -- Leased batches, and batches that wait for another attempt, suspects aside.
  active INTEGER NOT NULL DEFAULT 0,
  ready INTEGER NOT NULL DEFAULT 0,
  -- True when a claim found the group at its limit; the next batch that ends clears it.
  blocked INTEGER NOT NULL DEFAULT 0,
  -- When a claim has to look for a retry, or for items to seal. Never late, sometimes early.
  ready_at INTEGER,
  wake_at INTEGER,
  -- Decides between equal times.
  turn INTEGER NOT NULL DEFAULT 0,
  UNIQUE (queue, grp)
) STRICT;
CREATE INDEX batchwork_groups_ready ON batchwork_groups (queue, ready_at, turn)
  WHERE ready_at IS NOT NULL AND blocked = 0;
CREATE INDEX batchwork_groups_wake ON batchwork_groups (queue, wake_at, turn)
  WHERE wake_at IS NOT NULL AND blocked = 0;

CREATE TABLE batchwork_batches (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  queue INTEGER NOT NULL,
  grp INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('ready', 'leased', 'done')),
  token INTEGER NOT NULL,
  -- The last token under which an attempt was settled.
  settled INTEGER,
  owner INTEGER,
  attempt INTEGER NOT NULL,
  run_at INTEGER NOT NULL,
  count INTEGER NOT NULL,
  bytes INTEGER,
  members TEXT,
  reason TEXT NOT NULL,
  parent INTEGER,
  root INTEGER,
  first_chunk INTEGER NOT NULL,
  -- True when items of it may have a row in batchwork_keys.
  keyed INTEGER NOT NULL DEFAULT 0,
  -- True when the items are what beforeFlush made of them.
  prepared INTEGER NOT NULL DEFAULT 0,
  -- True while the current lease was given to a process that runs nothing else.
  alone INTEGER NOT NULL DEFAULT 0,
  suspect INTEGER NOT NULL DEFAULT 0,
  crashes INTEGER NOT NULL DEFAULT 0,
  -- The incarnation whose death is held against the batch, and whether it ran alone then.
  suspected_by INTEGER,
  suspected_alone INTEGER NOT NULL DEFAULT 0,
  sealed_at INTEGER NOT NULL,
  claimed_at INTEGER,
  finished_at INTEGER,
  percent REAL,
  note TEXT,
  error TEXT
) STRICT;
CREATE INDEX batchwork_batches_leased ON batchwork_batches (owner) WHERE state = 'leased';
CREATE INDEX batchwork_batches_ready ON batchwork_batches (queue, grp, run_at)
  WHERE state = 'ready' AND suspect = 0;
CREATE INDEX batchwork_batches_suspect ON batchwork_batches (queue, run_at)
  WHERE state = 'ready' AND suspect = 1;
CREATE INDEX batchwork_batches_done ON batchwork_batches (queue) WHERE state = 'done';

-- Idempotency keys. Written by appends with keys, by settlements of keyed batches, and by what
-- becomes of dead letters.
CREATE TABLE batchwork_keys (
  queue INTEGER NOT NULL,
  key TEXT NOT NULL,
  -- The item that holds the key.
  chunk INTEGER NOT NULL,
  idx INTEGER NOT NULL,
  -- Of the item's content.
  digest TEXT NOT NULL,
  -- How long it is held after its item ended; NULL for ever.
  ttl_ms INTEGER,
  -- When it is held no longer; NULL until its item ended.
  expires_at INTEGER,
  PRIMARY KEY (queue, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX batchwork_keys_item ON batchwork_keys (chunk, idx);
CREATE INDEX batchwork_keys_expired ON batchwork_keys (expires_at) WHERE expires_at IS NOT NULL;

-- Deliveries of throttled queues, one row a claim. Each knows how many came before it.
CREATE TABLE batchwork_deliveries (
  queue INTEGER NOT NULL,
  at INTEGER NOT NULL,
  earlier INTEGER NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (queue, at)
) STRICT, WITHOUT ROWID;

-- Keys of items that wait in their group: another item with the same key is left out.
CREATE TABLE batchwork_dedup_keys (
  queue INTEGER NOT NULL,
  grp TEXT NOT NULL,
  key TEXT NOT NULL,
  chunk INTEGER NOT NULL,
  idx INTEGER NOT NULL,
  PRIMARY KEY (queue, grp, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX batchwork_dedup_keys_item ON batchwork_dedup_keys (chunk, idx);

-- What became of items that were submitted. Inserted by what ends them; never updated.
CREATE TABLE batchwork_results (
  chunk INTEGER NOT NULL,
  idx INTEGER NOT NULL,
  queue INTEGER NOT NULL,
  kind TEXT NOT NULL,
  value TEXT,
  error TEXT,
  ended_at INTEGER NOT NULL,
  -- Until when it is kept; NULL for ever.
  expires_at INTEGER,
  PRIMARY KEY (chunk, idx)
) STRICT, WITHOUT ROWID;
CREATE INDEX batchwork_results_expired ON batchwork_results (expires_at)
  WHERE expires_at IS NOT NULL;

-- The items of finished batches that are kept to be replayed.
CREATE TABLE batchwork_kept (
  batch INTEGER PRIMARY KEY,
  grp TEXT NOT NULL,
  data TEXT NOT NULL
) STRICT;

-- Items that are neither done nor dead, of queues with a limit; written by triggers.
CREATE TABLE batchwork_pending (
  queue INTEGER PRIMARY KEY,
  items INTEGER NOT NULL,
  bytes INTEGER NOT NULL
) STRICT;

CREATE TABLE batchwork_incarnations (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  expires_at INTEGER NOT NULL
) STRICT;

CREATE TABLE batchwork_dead (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  queue INTEGER NOT NULL,
  grp TEXT NOT NULL,
  item TEXT NOT NULL,
  item_id TEXT NOT NULL,
  error TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  crashes INTEGER NOT NULL,
  batch INTEGER NOT NULL,
  root INTEGER NOT NULL,
  died_at INTEGER NOT NULL,
  -- From when on onDead may be told; NULL when there is nobody to tell, or it was told.
  notice_at INTEGER
) STRICT;
CREATE INDEX batchwork_dead_queue ON batchwork_dead (queue);
CREATE INDEX batchwork_dead_group ON batchwork_dead (queue, grp);
CREATE INDEX batchwork_dead_notice ON batchwork_dead (queue) WHERE notice_at IS NOT NULL;

-- One row per loop: an iterator's job, a worker. Written by its owner's steps, by claims, and by
-- what users ask of it.
CREATE TABLE batchwork_loops (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  part TEXT NOT NULL,
  status TEXT NOT NULL
    CHECK (status IN ('active', 'idle', 'paused', 'failed', 'done', 'cancelled')),
  token INTEGER NOT NULL DEFAULT 0,
  -- The incarnation that runs it.
  owner INTEGER,
  -- When it is due; NULL for not by itself.
  run_at INTEGER,
  -- True when its owner is to go on at once after the current step.
  kicked INTEGER NOT NULL DEFAULT 0,
  -- Steps written so far.
  step INTEGER NOT NULL DEFAULT 0,
  cursor TEXT,
  state TEXT NOT NULL,
  attempt INTEGER NOT NULL DEFAULT 0,
  -- Owners in a row that died without a step.
  crashes INTEGER NOT NULL DEFAULT 0,
  error TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE (kind, name, part)
) STRICT;
CREATE INDEX batchwork_loops_definition ON batchwork_loops (kind, name);
CREATE INDEX batchwork_loops_due ON batchwork_loops (kind, name, run_at)
  WHERE run_at IS NOT NULL AND owner IS NULL;
CREATE INDEX batchwork_loops_owner ON batchwork_loops (owner) WHERE owner IS NOT NULL;

-- What loops gave up.
CREATE TABLE batchwork_loop_dead (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  loop INTEGER NOT NULL,
  item TEXT NOT NULL,
  error TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  -- True once somebody asked for another try.
  marked INTEGER NOT NULL DEFAULT 0,
  died_at INTEGER NOT NULL
) STRICT;
CREATE INDEX batchwork_loop_dead_loop ON batchwork_loop_dead (loop);

-- What steps of loops left to be read later.
CREATE TABLE batchwork_loop_notes (
  loop INTEGER NOT NULL,
  step INTEGER NOT NULL,
  note TEXT NOT NULL,
  PRIMARY KEY (loop, step)
) STRICT, WITHOUT ROWID;
`;
