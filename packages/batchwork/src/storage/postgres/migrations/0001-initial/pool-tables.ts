/** The tables of pools, and what reads and writes single rows of them. */

export const POOL_TABLES = String.raw`
CREATE TABLE @.pools (
  queue int PRIMARY KEY,
  -- The queue that is told when tasks end; NULL when nobody is.
  callbacks int,
  -- NULL for ever.
  result_ttl_ms bigint,
  -- Overrides what claims say.
  parallelism bigint
);

-- Tasks of one chunk that are not over, with the same attempt. The first claim that sees a chunk
-- makes one of it; claims, which have the pool alone, cut pieces off.
CREATE TABLE @.slices (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  queue int NOT NULL,
  chunk bigint NOT NULL,
  -- The group of the chunk, and what it stands for.
  lane text NOT NULL,
  key text COLLATE "C" NOT NULL,
  priority bigint NOT NULL,
  -- What is delayed becomes ready by a claim; suspects wait apart.
  state text NOT NULL CHECK (state IN ('delayed', 'ready', 'suspect', 'leased')),
  run_at bigint NOT NULL,
  -- Its tasks: the first index and how many; all of them where they do not follow one another.
  first_index int NOT NULL,
  count int NOT NULL,
  indices int[],
  attempt int NOT NULL DEFAULT 1,
  token int NOT NULL DEFAULT 0,
  owner bigint,
  -- True while the current lease was given to a process that runs nothing else.
  alone boolean NOT NULL DEFAULT false,
  -- How many may run together with them; NULL for those that are no suspects.
  company int,
  crashes int NOT NULL DEFAULT 0,
  -- The incarnation whose death is held against them, and what was known before.
  suspected_by bigint,
  company_before int,
  crashes_before int
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_cost_delay = 0, vacuum_truncate = false);
CREATE INDEX slices_chunk ON @.slices (queue, chunk, first_index);
CREATE INDEX slices_delayed ON @.slices (queue, run_at) WHERE state = 'delayed';
CREATE INDEX slices_ready ON @.slices (queue, key, priority, run_at, chunk, first_index)
  WHERE state = 'ready';
CREATE INDEX slices_suspect ON @.slices (queue, company DESC, run_at, chunk, first_index)
  WHERE state = 'suspect';
CREATE INDEX slices_leased ON @.slices (queue, key) WHERE state = 'leased';
CREATE INDEX slices_owner ON @.slices (owner) WHERE state = 'leased';

-- Serial keys that have been in line, written by claims only; the empty one only beside others.
CREATE TABLE @.serial_keys (
  queue int NOT NULL,
  key text COLLATE "C" NOT NULL,
  -- The best of its ready tasks. Never worse than that.
  priority bigint NOT NULL,
  turn bigint NOT NULL,
  -- True when a claim has to look at it.
  open boolean NOT NULL,
  PRIMARY KEY (queue, key)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_cost_delay = 0, vacuum_truncate = false);
CREATE INDEX serial_keys_open ON @.serial_keys (queue, priority, turn) WHERE open;

-- News for claims: fewer tasks of the key are leased, or some became ready.
CREATE TABLE @.key_news (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  queue int NOT NULL,
  key text COLLATE "C" NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_cost_delay = 0, vacuum_truncate = false);
CREATE INDEX key_news_queue ON @.key_news (queue);

-- Tasks that were cancelled while they ran, until their slice is settled or given back.
CREATE TABLE @.cancels (
  slice bigint NOT NULL,
  index int NOT NULL,
  PRIMARY KEY (slice, index)
);

-- How tasks ended, one row for those of a chunk that ended the same way together.
CREATE TABLE @.task_results (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  queue int NOT NULL,
  chunk bigint NOT NULL,
  first_index int NOT NULL,
  count int NOT NULL,
  indices int[],
  kind text NOT NULL,
  -- One text per task, joined; NULL when none of them returned anything.
  data text,
  error text,
  ended_at bigint NOT NULL,
  -- NULL for ever.
  expires_at bigint
);
CREATE INDEX task_results_chunk ON @.task_results (chunk, first_index);
CREATE INDEX task_results_expired ON @.task_results (expires_at) WHERE expires_at IS NOT NULL;

-- The indices that a row holds, ascending.
CREATE FUNCTION @.held(p_first int, p_count int, p_indices int[]) RETURNS int[]
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN coalesce(p_indices, ARRAY(SELECT generate_series(p_first, p_first + p_count - 1)));
END $$;

-- The list for a row that holds these indices: NULL where they follow one another.
CREATE FUNCTION @.listed(p_indices int[]) RETURNS int[] LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF p_indices[cardinality(p_indices)] - p_indices[1] + 1 = cardinality(p_indices) THEN
    RETURN NULL;
  END IF;
  RETURN p_indices;
END $$;

-- The indices of one list that are not in the other, ascending.
CREATE FUNCTION @.without(p_indices int[], p_gone int[]) RETURNS int[]
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF p_gone = '{}' THEN
    RETURN p_indices;
  END IF;
  RETURN ARRAY(SELECT i.index FROM unnest(p_indices) WITH ORDINALITY AS i (index, n)
    WHERE i.index <> ALL (p_gone) ORDER BY i.n);
END $$;

-- The indices of one list that are in the other, ascending.
CREATE FUNCTION @.shared(p_indices int[], p_others int[]) RETURNS int[]
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN ARRAY(SELECT i.index FROM unnest(p_indices) WITH ORDINALITY AS i (index, n)
    WHERE i.index = ANY (p_others) ORDER BY i.n);
END $$;

CREATE FUNCTION @.pool(p_queue int) RETURNS @.pools LANGUAGE plpgsql AS $$
DECLARE
  p @.pools;
BEGIN
  SELECT * INTO p FROM @.pools AS t WHERE t.queue = p_queue;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'batchwork: no pool %', p_queue USING ERRCODE = 'BW002';
  END IF;
  RETURN p;
END $$;

CREATE FUNCTION @.define_pools(p_queues int[], p_callbacks int[], p_ttls bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  v_queue int;
BEGIN
  FOREACH v_queue IN ARRAY p_queues || array_remove(p_callbacks, NULL) LOOP
    IF NOT EXISTS (SELECT FROM @.queues AS q WHERE q.id = v_queue) THEN
      RAISE EXCEPTION 'batchwork: no queue %', v_queue USING ERRCODE = 'BW002';
    END IF;
  END LOOP;
  INSERT INTO @.pools AS p (queue, callbacks, result_ttl_ms)
    SELECT * FROM unnest(p_queues, p_callbacks, p_ttls) AS d (queue, callbacks, ttl)
    ORDER BY d.queue
  ON CONFLICT (queue) DO UPDATE SET callbacks = excluded.callbacks,
    result_ttl_ms = excluded.result_ttl_ms
  WHERE (p.callbacks, p.result_ttl_ms)
    IS DISTINCT FROM (excluded.callbacks, excluded.result_ttl_ms);
END $$;

CREATE FUNCTION @.set_parallelism(p_queue int, p_parallelism bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM @.pool(p_queue);
  UPDATE @.pools SET parallelism = p_parallelism
  WHERE queue = p_queue AND parallelism IS DISTINCT FROM p_parallelism;
END $$;

-- How many tasks are leased: of a pool, and of one of its keys.
CREATE FUNCTION @.tasks_leased(p_queue int, p_key text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
  IF p_key IS NULL THEN
    RETURN (SELECT coalesce(sum(s.count), 0) FROM @.slices AS s
      WHERE s.queue = p_queue AND s.state = 'leased');
  END IF;
  RETURN (SELECT coalesce(sum(s.count), 0) FROM @.slices AS s
    WHERE s.queue = p_queue AND s.key = p_key AND s.state = 'leased');
END $$;

-- Locks slices, in one order everywhere. What is read before may be old.
CREATE FUNCTION @.lock_slices(p_slices bigint[]) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '5s' AS $$
BEGIN
  PERFORM FROM @.slices AS s WHERE s.id = ANY (p_slices) ORDER BY s.id FOR UPDATE;
END $$;

-- Takes tasks out of a slice.
CREATE FUNCTION @.leave_in_slice(p_slice bigint, p_left int[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF p_left = '{}' THEN
    DELETE FROM @.slices WHERE id = p_slice;
  ELSE
    UPDATE @.slices SET first_index = p_left[1], count = cardinality(p_left),
      indices = @.listed(p_left) WHERE id = p_slice;
  END IF;
END $$;
`;
