/**
 * The tables of the first schema. `@.` stands for the schema's name, here and in the functions.
 *
 * The row of a group is its lock: whoever seals, claims or settles in a group holds it, and reads
 * everything else in a later statement, whose snapshot is younger than the lock.
 */

export const TABLES = String.raw`
-- Tells one database from another, whatever its address.
CREATE TABLE @.meta (id uuid NOT NULL DEFAULT gen_random_uuid());
INSERT INTO @.meta DEFAULT VALUES;

CREATE SEQUENCE @.chunk_ids;
-- Places in the lines of groups.
CREATE SEQUENCE @.turns;

-- Read by every claim, written by definitions, pauses and changes of caps.
CREATE TABLE @.queues (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE,
  paused boolean NOT NULL DEFAULT false,
  notify boolean NOT NULL DEFAULT false,
  -- The caps that the groups' wake_at was worked out with.
  max_size bigint NOT NULL DEFAULT 0,
  max_bytes bigint NOT NULL DEFAULT 0,
  group_concurrency bigint NOT NULL DEFAULT 0
);

-- The items. Inserted by appends, deleted when every item is done or dead. EXTERNAL: not
-- compressed, and longer ones out of line, so nothing that touches the row moves its items.
CREATE TABLE @.payloads (
  chunk bigint PRIMARY KEY,
  count int NOT NULL,
  -- Items that are neither done nor dead; kept up to date once the chunk is settled in parts.
  live int NOT NULL,
  data text NOT NULL
);
ALTER TABLE @.payloads ALTER COLUMN data SET STORAGE EXTERNAL;

-- Headers of chunks that no claim has seen yet. A claim finds them because they are here, never by
-- their ids, which do not commit in order.
CREATE TABLE @.inbox (
  queue int NOT NULL,
  chunk bigint NOT NULL,
  grp text NOT NULL,
  count int NOT NULL,
  bytes int NOT NULL,
  due_at bigint NOT NULL,
  PRIMARY KEY (queue, chunk)
);

-- Headers that are counted in their group and wait to be sealed; of a chunk that straddles two
-- batches, the rest.
CREATE TABLE @.waiting (
  grp bigint NOT NULL,
  chunk bigint NOT NULL,
  from_index int NOT NULL,
  count int NOT NULL,
  bytes int NOT NULL,
  due_at bigint NOT NULL,
  PRIMARY KEY (grp, chunk)
);

-- Written by claims and settlements only; appends do not touch it.
CREATE TABLE @.groups (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  queue int NOT NULL,
  name text NOT NULL,
  -- What waits, and the first chunk of it.
  items bigint NOT NULL DEFAULT 0,
  bytes bigint NOT NULL DEFAULT 0,
  head bigint NOT NULL DEFAULT 0,
  -- When the first of it is due; NULL when that is not known and has to be looked up.
  due_at bigint,
  -- flush() asked for the chunks up to this id, and when.
  flush_to bigint NOT NULL DEFAULT 0,
  flushed_at bigint NOT NULL DEFAULT 0,
  -- Leased batches, and batches that wait for another attempt, suspects aside.
  active int NOT NULL DEFAULT 0,
  ready int NOT NULL DEFAULT 0,
  -- True when a claim found the group at its limit; the next batch that ends clears it.
  blocked boolean NOT NULL DEFAULT false,
  -- When a claim has to look for a retry, or for items to seal. Never late, sometimes early.
  ready_at bigint,
  wake_at bigint,
  -- Decides between equal times.
  turn bigint NOT NULL DEFAULT 0,
  UNIQUE (queue, name)
) WITH (fillfactor = 70);
CREATE INDEX groups_ready ON @.groups (queue, ready_at, turn)
  WHERE ready_at IS NOT NULL AND NOT blocked;
CREATE INDEX groups_wake ON @.groups (queue, wake_at, turn)
  WHERE wake_at IS NOT NULL AND NOT blocked;

CREATE TABLE @.batches (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  queue int NOT NULL,
  grp bigint NOT NULL,
  state text NOT NULL CHECK (state IN ('ready', 'leased', 'done')),
  token int NOT NULL,
  -- The last token under which an attempt was settled.
  settled int,
  owner bigint,
  attempt int NOT NULL,
  run_at bigint NOT NULL,
  count int NOT NULL,
  -- NULL for a child: worked out when it is claimed, where its items are read anyway.
  bytes bigint,
  reason text NOT NULL,
  parent bigint,
  root bigint,
  first_chunk bigint NOT NULL,
  -- True while the current lease was given to a process that runs nothing else.
  alone boolean NOT NULL DEFAULT false,
  suspect boolean NOT NULL DEFAULT false,
  crashes int NOT NULL DEFAULT 0,
  -- The incarnation whose death is held against the batch, and whether it ran alone then.
  suspected_by bigint,
  suspected_alone boolean NOT NULL DEFAULT false,
  sealed_at bigint NOT NULL,
  claimed_at bigint,
  finished_at bigint,
  percent float8,
  note text,
  error text
) WITH (fillfactor = 70);
CREATE INDEX batches_leased ON @.batches (owner) WHERE state = 'leased';
CREATE INDEX batches_ready ON @.batches (grp, run_at, id) WHERE state = 'ready' AND NOT suspect;
CREATE INDEX batches_suspect ON @.batches (queue, run_at, id) WHERE state = 'ready' AND suspect;
CREATE INDEX batches_done ON @.batches (queue, id) WHERE state = 'done';

-- Which items make up a batch that is not done. No item is in two: the index refuses a second
-- batch that begins where another does.
CREATE TABLE @.members (
  batch bigint NOT NULL,
  place int NOT NULL,
  chunk bigint NOT NULL,
  from_index int NOT NULL,
  count int NOT NULL,
  -- The indices, where they do not follow one another.
  indices int[],
  PRIMARY KEY (batch, place),
  UNIQUE (chunk, from_index)
);

CREATE TABLE @.incarnations (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  expires_at bigint NOT NULL
);

CREATE TABLE @.dead (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  queue int NOT NULL,
  grp text NOT NULL,
  item text NOT NULL,
  item_id text NOT NULL,
  error text NOT NULL,
  attempts int NOT NULL,
  crashes int NOT NULL,
  batch bigint NOT NULL,
  root bigint NOT NULL,
  died_at bigint NOT NULL,
  -- From when on onDead may be told; NULL when there is nobody to tell, or it was told.
  notice_at bigint
);
CREATE INDEX dead_queue ON @.dead (queue, id);
CREATE INDEX dead_group ON @.dead (queue, grp, id);
CREATE INDEX dead_notice ON @.dead (queue, id) WHERE notice_at IS NOT NULL;
`;
