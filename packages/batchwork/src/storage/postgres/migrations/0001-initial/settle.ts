/** The end of an attempt, carried out under the batch's token and its group's lock. */

export const SETTLE = String.raw`
-- Locks the groups of these batches, in one order everywhere. What is read before may be old.
-- Nobody waits for ever: a process may stop for good with a transaction open.
CREATE FUNCTION @.lock_groups(p_batches bigint[], p_queues int[] DEFAULT '{}') RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off SET lock_timeout = '5s' AS $$
DECLARE
  v_ids bigint[] := ARRAY(SELECT b.grp FROM @.batches AS b WHERE b.id = ANY (p_batches));
BEGIN
  IF p_queues <> '{}' THEN
    v_ids := v_ids || ARRAY(SELECT g.id FROM @.groups AS g WHERE g.queue = ANY (p_queues));
  END IF;
  PERFORM FROM @.groups AS g WHERE g.id = ANY (v_ids) ORDER BY g.id FOR UPDATE;
END $$;

-- A batch of the group is leased no longer; p_ready more wait for another attempt from p_at on.
CREATE FUNCTION @.group_ended(p_group bigint, p_active int, p_ready int, p_at bigint)
RETURNS void LANGUAGE sql AS $$
  UPDATE @.groups SET active = active - p_active, ready = ready + p_ready, blocked = false,
    ready_at = least(ready_at, CASE WHEN p_ready > 0 THEN p_at END)
  WHERE id = p_group
$$;

-- The items of a batch, by place.
CREATE FUNCTION @.batch_items(p_batch bigint)
RETURNS TABLE (place int, member int, chunk bigint, index int) LANGUAGE sql STABLE AS $$
  SELECT (row_number() OVER (ORDER BY m.place, n.n) - 1)::int, m.place, m.chunk,
    coalesce(m.indices[n.n], m.from_index + n.n - 1)
  FROM @.members AS m CROSS JOIN LATERAL generate_series(1, m.count) AS n (n)
  WHERE m.batch = p_batch
$$;

-- Takes items off their chunks and deletes the chunks of which nothing is left. The members of one
-- group's chunks are only ever freed under its lock.
CREATE FUNCTION @.free_items(p_chunks bigint[], p_counts int[]) RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
BEGIN
  DELETE FROM @.payloads AS p USING unnest(p_chunks, p_counts) AS f (chunk, count)
  WHERE p.chunk = f.chunk AND p.live <= f.count;
  UPDATE @.payloads AS p SET live = p.live - f.count
  FROM unnest(p_chunks, p_counts) AS f (chunk, count)
  WHERE p.chunk = f.chunk AND p.live > f.count;
END $$;

-- The batch is over: its members go. Returns what of each chunk it had.
CREATE FUNCTION @.drop_members(p_batch bigint, OUT chunks bigint[], OUT counts int[])
LANGUAGE sql AS $$
  WITH dropped AS (DELETE FROM @.members WHERE batch = p_batch RETURNING chunk, count),
    sums AS (SELECT d.chunk, sum(d.count)::int AS count FROM dropped AS d GROUP BY d.chunk)
  SELECT array_agg(s.chunk), array_agg(s.count) FROM sums AS s
$$;

-- Makes dead letters of the items at these positions.
CREATE FUNCTION @.bury(
  p_batch bigint, p_positions int[], p_errors text[], p_attempts int, p_crashes int, p_now bigint
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO @.dead (queue, grp, item, item_id, error, attempts, crashes, batch, root, died_at,
      notice_at)
  WITH items AS MATERIALIZED (
    SELECT p.chunk, (i.n - 1)::int AS index, i.text
    FROM @.payloads AS p, unnest(string_to_array(p.data, E',\n')) WITH ORDINALITY AS i (text, n)
    WHERE p.chunk IN (SELECT m.chunk FROM @.members AS m WHERE m.batch = p_batch)
  )
  SELECT b.queue, g.name, i.text, i.chunk || ':' || i.index, d.error, p_attempts, p_crashes,
    b.id, coalesce(b.root, b.id), p_now, CASE WHEN q.notify THEN 0 END
  FROM unnest(p_positions, p_errors) AS d (place, error)
    JOIN @.batch_items(p_batch) AS t ON t.place = d.place
    JOIN items AS i ON i.chunk = t.chunk AND i.index = t.index
    JOIN @.batches AS b ON b.id = p_batch
    JOIN @.groups AS g ON g.id = b.grp
    JOIN @.queues AS q ON q.id = b.queue
  ORDER BY d.place;
END $$;

-- Puts the items at these positions into a new batch. Its crash record is clean: the handler ended.
CREATE FUNCTION @.insert_child(
  p_parent @.batches, p_chunks bigint[], p_indices int[], p_attempt int, p_run_at bigint,
  p_error text, p_now bigint
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_id bigint;
BEGIN
  INSERT INTO @.batches (queue, grp, state, token, attempt, run_at, count, reason, parent, root,
      first_chunk, sealed_at, error)
    VALUES (p_parent.queue, p_parent.grp, 'ready', 0, p_attempt, p_run_at,
      cardinality(p_chunks), p_parent.reason, p_parent.id, coalesce(p_parent.root, p_parent.id),
      p_chunks[1], p_now, p_error)
    RETURNING id INTO v_id;
  INSERT INTO @.members (batch, place, chunk, from_index, count, indices)
    SELECT v_id, row_number() OVER (ORDER BY min(i.n)), i.chunk, min(i.index), count(*),
      CASE WHEN max(i.index) - min(i.index) + 1 <> count(*) THEN array_agg(i.index ORDER BY i.n) END
    FROM unnest(p_chunks, p_indices) WITH ORDINALITY AS i (chunk, index, n)
    GROUP BY i.chunk;
  PERFORM @.group_ended(p_parent.grp, 0, 1, p_run_at);
END $$;

-- Carries a split out: children, dead letters, and the rest is done.
CREATE FUNCTION @.split(p_batch @.batches, p_outcome json, p_now bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  v_chunks bigint[];
  v_indices int[];
  v_child json;
  v_gone int[];
  v_freed bigint[];
  v_counts int[];
BEGIN
  SELECT array_agg(i.chunk ORDER BY i.place), array_agg(i.index ORDER BY i.place)
    INTO v_chunks, v_indices FROM @.batch_items(p_batch.id) AS i;
  PERFORM @.bury(p_batch.id,
    ARRAY(SELECT (d.value->>'position')::int
      FROM json_array_elements(p_outcome->'dead') WITH ORDINALITY AS d (value, n) ORDER BY d.n),
    ARRAY(SELECT d.value->>'error'
      FROM json_array_elements(p_outcome->'dead') WITH ORDINALITY AS d (value, n) ORDER BY d.n),
    p_batch.attempt, p_batch.crashes, p_now);
  -- The children take their places over.
  DELETE FROM @.members WHERE batch = p_batch.id;
  FOR v_child IN SELECT value FROM json_array_elements(p_outcome->'children') LOOP
    PERFORM @.insert_child(p_batch,
      array_agg(v_chunks[p.place + 1] ORDER BY p.n),
      array_agg(v_indices[p.place + 1] ORDER BY p.n),
      (v_child->>'attempt')::int, p_now + (v_child->>'delayMs')::bigint, v_child->>'error', p_now)
    FROM (SELECT value::text::int AS place, n
      FROM json_array_elements(v_child->'positions') WITH ORDINALITY AS e (value, n)) AS p;
  END LOOP;
  v_gone := ARRAY(SELECT n FROM generate_series(0, cardinality(v_chunks) - 1) AS n
    WHERE n NOT IN (SELECT p.value::text::int
      FROM json_array_elements(p_outcome->'children') AS c,
        json_array_elements(c.value->'positions') AS p));
  SELECT array_agg(s.chunk), array_agg(s.count) INTO v_freed, v_counts FROM (
    SELECT v_chunks[n + 1] AS chunk, count(*)::int AS count FROM unnest(v_gone) AS n GROUP BY 1
  ) AS s;
  PERFORM @.free_items(v_freed, v_counts);
END $$;

-- True when the outcome counts: now, or because this very settlement was carried out before. The
-- caller has locked the group. An outcome of NULL: every item succeeded.
CREATE FUNCTION @.settle(p_batch bigint, p_token int, p_outcome json, p_now bigint)
RETURNS boolean LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
  b @.batches;
  v_run_at bigint;
BEGIN
  SELECT * INTO b FROM @.batches WHERE id = p_batch;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  IF b.state <> 'leased' OR b.token <> p_token THEN
    RETURN coalesce(b.settled = p_token, false);
  END IF;
  IF p_outcome->>'kind' = 'again' THEN
    v_run_at := p_now + (p_outcome->>'delayMs')::bigint;
    UPDATE @.batches SET state = 'ready', settled = token, owner = NULL,
      attempt = (p_outcome->>'attempt')::int, run_at = v_run_at, error = p_outcome->>'error'
    WHERE id = p_batch;
    PERFORM @.group_ended(b.grp, 1, CASE WHEN b.suspect THEN 0 ELSE 1 END, v_run_at);
    RETURN true;
  END IF;
  IF p_outcome->>'kind' = 'split' THEN
    PERFORM @.split(b, p_outcome, p_now);
  ELSE
    PERFORM @.free_items(d.chunks, d.counts) FROM @.drop_members(p_batch) AS d;
  END IF;
  UPDATE @.batches SET state = 'done', settled = p_token, owner = NULL, note = NULL,
    error = NULL, finished_at = p_now
  WHERE id = p_batch;
  PERFORM @.group_ended(b.grp, 1, 0, NULL);
  -- Now and then whoever ends a batch clears up, whatever the reaper keeps up with.
  IF p_batch % 512 = 0 THEN
    PERFORM @.forget_done(b.queue, 1024);
  END IF;
  RETURN true;
END $$;

-- The settling of one batch, in a transaction that a handler shares.
CREATE FUNCTION @.settle_one(p_batch bigint, p_token int, p_outcome json, p_at bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  PERFORM @.check_isolation();
  PERFORM @.lock_groups(ARRAY[p_batch]);
  IF NOT EXISTS (SELECT FROM @.batches AS b
    WHERE b.id = p_batch AND b.token = p_token AND b.state = 'leased') THEN
    RETURN false;
  END IF;
  -- Whoever stops before the commit must not hold the group up.
  PERFORM set_config('idle_in_transaction_session_timeout', '10s', true);
  RETURN @.settle(p_batch, p_token, p_outcome, coalesce(p_at, @.now_ms()));
END $$;

-- Waits for whoever is about to settle the batch, then tells whether an attempt under this token
-- was settled.
CREATE FUNCTION @.was_settled(p_batch bigint, p_token int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  PERFORM @.lock_groups(ARRAY[p_batch]);
  RETURN EXISTS (SELECT FROM @.batches AS b WHERE b.id = p_batch AND b.settled = p_token);
END $$;
`;
