/**
 * The tables of the first schema. `@.` stands for the schema's name, here and in the functions.
 *
 * The row of a group is its lock: whoever seals or claims in a group holds it, and reads everything
 * else in a later statement, whose snapshot is younger than the lock. Settling does without: the
 * row of the batch is lock enough.
 *
 * While anybody keeps a snapshot open, nothing deleted or overwritten goes away, and a search that
 * begins where that is has to walk over all of it. So no search does: see `marks`.
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
  -- What processes have agreed on, as JSON; NULL while nobody proposed anything.
  version bigint NOT NULL DEFAULT 0, settings text,
  -- What is kept of finished batches and of dead letters; NULL for the default.
  done_count bigint, done_age bigint, dead_count bigint, dead_age bigint,
  -- The caps that the groups' wake_at was worked out with.
  max_size bigint NOT NULL DEFAULT 0,
  max_bytes bigint NOT NULL DEFAULT 0,
  group_concurrency bigint NOT NULL DEFAULT 0
);

-- The items. Inserted by appends, deleted when every item is done or dead. Long ones are out of
-- line, so nothing that touches the row moves its items. Compressed by lz4, which costs less than
-- writing the rest would; what a server without it would use instead (pglz) costs more.
CREATE TABLE @.payloads (
  chunk bigint PRIMARY KEY,
  count int NOT NULL,
  -- Items that are neither done nor dead; kept up to date once the chunk is settled in parts.
  live int NOT NULL,
  data text NOT NULL
);
DO $do$ BEGIN
  ALTER TABLE @.payloads ALTER COLUMN data SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
  ALTER TABLE @.payloads ALTER COLUMN data SET STORAGE EXTERNAL;
END $do$;

-- What no claim has seen yet: headers of chunks and, with a count of 0, the news that a batch of
-- the group ended (due_at: another attempt at it waits from then on). A claim finds it because it
-- is here, never by its ids, which do not commit in order.
CREATE TABLE @.inbox (
  queue int NOT NULL,
  chunk bigint NOT NULL,
  grp text NOT NULL,
  count int NOT NULL,
  bytes int NOT NULL,
  due_at bigint,
  -- One for each item, where duplicates are to be left out.
  keys text[],
  PRIMARY KEY (queue, chunk)
);

-- Headers that are counted in their group and wait to be sealed; of a chunk that straddles two
-- batches, the rest; of one of which items were left out, each run of neighbours.
CREATE TABLE @.waiting (
  grp bigint NOT NULL,
  chunk bigint NOT NULL,
  from_index int NOT NULL,
  count int NOT NULL,
  bytes int NOT NULL,
  due_at bigint NOT NULL,
  -- True when the items hold keys.
  dedup boolean NOT NULL DEFAULT false,
  PRIMARY KEY (grp, chunk, from_index)
);

-- Made by the first claim that sees something of the group. Never updated, so that the lock stays
-- one row, whatever snapshots are open.
CREATE TABLE @.groups (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  queue int NOT NULL,
  name text NOT NULL,
  UNIQUE (queue, name)
);

-- What the claims of a group know of it, one row a group, written by claims only. Every 64th write
-- gives the row a new key, and whoever looks for it begins at the highest: so no more than 64 old
-- versions are ever in the way, however many an open snapshot keeps.
CREATE TABLE @.group_states (
  grp bigint NOT NULL,
  version int NOT NULL DEFAULT 0,
  writes int NOT NULL DEFAULT 0,
  queue int NOT NULL,
  -- What waits, and the first chunk of it.
  items bigint NOT NULL DEFAULT 0,
  bytes bigint NOT NULL DEFAULT 0,
  head bigint NOT NULL DEFAULT 0,
  -- When the first of it is due; NULL when that is not known and has to be looked up.
  due_at bigint,
  -- flush() asked for the chunks up to this id, and when.
  flush_to bigint NOT NULL DEFAULT 0,
  flushed_at bigint NOT NULL DEFAULT 0,
  -- No batch with a smaller id is leased; NULL when none is.
  oldest bigint,
  -- True when a claim found the group at its limit; the news of a batch that ended clears it.
  blocked boolean NOT NULL DEFAULT false,
  -- No batch waits for another attempt at an earlier time; NULL when none does. Suspects aside.
  retry_from bigint,
  -- When a claim has to look for a retry, or for items to seal. Never late, sometimes early. Never
  -- written earlier than the time of the writing, or a search that begins later would miss it.
  ready_at bigint,
  wake_at bigint,
  -- Decides between equal times.
  turn bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (grp, version)
) WITH (fillfactor = 50);
CREATE INDEX group_states_ready ON @.group_states (queue, ready_at, turn)
  WHERE ready_at IS NOT NULL AND NOT blocked;
CREATE INDEX group_states_wake ON @.group_states (queue, wake_at, turn)
  WHERE wake_at IS NOT NULL AND NOT blocked;

-- Where the searches of a process begin: there is nothing before, and nothing will come. A process
-- keeps one for each queue in memory.
--
-- Ids do not commit in order, so a mark moves in two steps. First a claim notes the next id and the
-- time, and then gets its transaction id (horizon). Whoever writes gets a transaction id first and
-- asks for an id of the sequence or the time after that: what will still be written below the notes
-- has a transaction id below the horizon. Once no such transaction is open, what is below the notes
-- is there to be seen, or will never be.
CREATE TYPE @.marks AS (
  chunk bigint,
  ready_at bigint,
  wake_at bigint,
  -- The notes.
  next_chunk bigint,
  next_at bigint,
  horizon bigint,
  -- When the marks of time began. A clock that was set back ends them, and so do 30 seconds.
  since bigint
);

-- A batch of the group ended; retry_at: another attempt at it waits from then on.
CREATE TYPE @.ended AS (queue int, grp bigint, retry_at bigint);

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
  -- True when its group is to hear of its end: the claim had a limit to keep.
  tells boolean NOT NULL DEFAULT false,
  -- True when the items are what beforeFlush made of them.
  prepared boolean NOT NULL DEFAULT false,
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
CREATE INDEX batches_owner ON @.batches (owner) WHERE state = 'leased';
CREATE INDEX batches_leased ON @.batches (grp, id) WHERE state = 'leased';
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
  -- The ids of the items, where they were moved to this chunk and kept the ids they had before.
  ids text[],
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

-- Rows live for seconds, so the share of dead ones says nothing: a table is vacuumed whenever some
-- thousand rows of it went, and at full speed, for it is small. The items take their time, but a
-- multiple of what the server would do. Truncation waits for a moment without readers: it is worth
-- it for the items only.
DO $do$
DECLARE
  v_table text;
BEGIN
  FOREACH v_table IN ARRAY ARRAY['inbox', 'waiting', 'members', 'batches', 'group_states'] LOOP
    EXECUTE format('ALTER TABLE @.%I SET (autovacuum_vacuum_scale_factor = 0,
      autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0,
      vacuum_truncate = false)', v_table);
  END LOOP;
  ALTER TABLE @.payloads SET (autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_limit = 2000,
    toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 50000,
    toast.autovacuum_vacuum_cost_limit = 2000);
END $do$;
`;
