/** Time, locks that are no rows, appending, and counting what was appended into groups. */

export const INTAKE = String.raw`
-- Storage time, ms.
CREATE FUNCTION @.now_ms() RETURNS bigint LANGUAGE sql VOLATILE
AS $$ SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint $$;

-- A stricter isolation level freezes the snapshot, and what is read after a lock would be old.
CREATE FUNCTION @.check_isolation() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'batchwork: the transaction is not READ COMMITTED' USING ERRCODE = '25001';
  END IF;
END $$;

-- The time, but not a time that has passed.
CREATE FUNCTION @.not_before(p_at bigint, p_now bigint) RETURNS bigint LANGUAGE sql IMMUTABLE
AS $$ SELECT CASE WHEN p_at < p_now THEN p_now ELSE p_at END $$;

-- Only inserts. The ids ascend in the order of the arrays. The transaction id comes first: see
-- @.marks.
CREATE FUNCTION @.append(
  p_queues int[], p_groups text[], p_counts int[], p_bytes int[], p_delays bigint[],
  p_data text[], p_at bigint, p_keys text[] DEFAULT NULL
) RETURNS TABLE (id bigint, due_at bigint) LANGUAGE plpgsql AS $$
DECLARE
  v_now bigint := coalesce(p_at, @.now_ms());
  v_ids bigint[];
BEGIN
  PERFORM pg_current_xact_id();
  v_ids := ARRAY(
    SELECT nextval('@.chunk_ids') FROM generate_series(1, cardinality(p_queues)));
  INSERT INTO @.payloads (chunk, count, live, data)
    SELECT * FROM unnest(v_ids, p_counts, p_counts, p_data);
  -- Keys come as JSON, a text for each chunk.
  INSERT INTO @.inbox (queue, chunk, grp, count, bytes, due_at, keys)
    SELECT i.queue, i.chunk, i.grp, i.count, i.bytes, v_now + i.delay, CASE
      WHEN i.keys IS NOT NULL THEN ARRAY(SELECT json_array_elements_text(i.keys::json)) END
    FROM unnest(p_queues, v_ids, p_groups, p_counts, p_bytes, p_delays, p_keys)
      AS i (queue, chunk, grp, count, bytes, delay, keys);
  RETURN QUERY SELECT i.chunk, v_now + i.delay
    FROM unnest(v_ids, p_delays) WITH ORDINALITY AS i (chunk, delay, n) ORDER BY i.n;
END $$;

-- The same for one chunk.
CREATE FUNCTION @.append_one(
  p_queue int, p_group text, p_count int, p_bytes int, p_delay bigint, p_data text, p_at bigint,
  OUT id bigint, OUT due_at bigint
) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_current_xact_id();
  id := nextval('@.chunk_ids');
  due_at := coalesce(p_at, @.now_ms()) + p_delay;
  INSERT INTO @.payloads (chunk, count, live, data) VALUES (id, p_count, p_count, p_data);
  INSERT INTO @.inbox (queue, chunk, grp, count, bytes, due_at)
    VALUES (p_queue, id, p_group, p_count, p_bytes, due_at);
END $$;

-- Appends inside a transaction of the caller's: refuses another database.
CREATE FUNCTION @.append_within(
  p_database uuid, p_queues int[], p_groups text[], p_counts int[], p_bytes int[],
  p_delays bigint[], p_data text[], p_at bigint, p_keys text[] DEFAULT NULL
) RETURNS TABLE (id bigint, due_at bigint) LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM @.meta AS m WHERE m.id = p_database) THEN
    RAISE EXCEPTION 'batchwork: another database' USING ERRCODE = 'BW001';
  END IF;
  RETURN QUERY SELECT *
    FROM @.append(p_queues, p_groups, p_counts, p_bytes, p_delays, p_data, p_at, p_keys);
END $$;

-- Has the next claims hear of batches that ended.
CREATE FUNCTION @.tell_ended(p_ended @.ended[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF cardinality(p_ended) > 0 THEN
    INSERT INTO @.inbox (queue, chunk, grp, count, bytes, due_at)
    SELECT e.queue, nextval('@.chunk_ids'), (SELECT g.name FROM @.groups AS g WHERE g.id = e.grp),
      0, 0, e.retry_at
    FROM unnest(p_ended) AS e;
  END IF;
END $$;

-- Makes the groups of these names that are not there. In order of name: two claims that make the
-- same ones wait for each other in one direction.
CREATE FUNCTION @.make_groups(p_queue int, p_names text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  WITH made AS (
    INSERT INTO @.groups (queue, name)
      SELECT p_queue, n.name FROM unnest(p_names) AS n (name)
      WHERE NOT EXISTS (SELECT FROM @.groups AS g WHERE g.queue = p_queue AND g.name = n.name)
      ORDER BY n.name
      ON CONFLICT DO NOTHING RETURNING id
  )
  INSERT INTO @.group_states (grp, queue) SELECT m.id, p_queue FROM made AS m;
END $$;

-- Works out the states of groups that have none, from what is stored of them. Claims look at once.
CREATE FUNCTION @.make_states() RETURNS void LANGUAGE sql AS $$
  INSERT INTO @.group_states (grp, queue, items, bytes, head, due_at, wake_at, retry_from, ready_at)
  SELECT g.id, g.queue, coalesce(w.items, 0), coalesce(w.bytes, 0), coalesce(w.head, 0), w.due_at,
    CASE WHEN w.items > 0 THEN 0 END, b.run_at, b.run_at
  FROM @.groups AS g
    LEFT JOIN (
      SELECT t.grp, sum(t.count) AS items, sum(t.bytes) AS bytes, min(t.chunk) AS head,
        min(t.due_at) AS due_at
      FROM @.waiting AS t GROUP BY t.grp) AS w ON w.grp = g.id
    LEFT JOIN (
      SELECT t.grp, min(t.run_at) AS run_at FROM @.batches AS t
      WHERE t.state = 'ready' AND NOT t.suspect GROUP BY t.grp) AS b ON b.grp = g.id
  WHERE NOT EXISTS (SELECT FROM @.group_states AS s WHERE s.grp = g.id)
$$;

-- Counts what is in the inbox into its groups, about p_most of it, and what ended in this
-- transaction, as far as nobody else has the groups.
CREATE FUNCTION @.count_inbox(
  p_queue int, p_from bigint, p_ended @.ended[], p_max_size bigint, p_max_bytes bigint,
  p_most bigint, p_now bigint
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  -- Where they are, so that none is looked for twice. What is there stays as long as the statement
  -- that calls: its snapshot is older, so no place is given to another row.
  v_places tid[];
  v_chunks bigint[];
  v_names text[];
  v_dedup boolean;
  v_turn bigint;
  v_ids bigint[] := ARRAY(SELECT e.grp FROM unnest(p_ended) AS e);
  v_locked bigint[];
BEGIN
  SELECT array_agg(i.ctid), array_agg(DISTINCT i.grp COLLATE "C"), bool_or(i.keys IS NOT NULL)
    INTO v_places, v_names, v_dedup FROM (
    SELECT ctid, grp, keys FROM @.inbox WHERE queue = p_queue AND chunk >= p_from
    ORDER BY chunk LIMIT p_most) AS i;
  IF v_names IS NOT NULL THEN
    IF EXISTS (SELECT FROM unnest(v_names) AS n (name) WHERE NOT EXISTS (
      SELECT FROM @.groups AS g WHERE g.queue = p_queue AND g.name = n.name)) THEN
      PERFORM @.make_groups(p_queue, v_names);
    END IF;
    v_ids := ARRAY(SELECT unnest(v_ids) UNION
      SELECT g.id FROM @.groups AS g WHERE g.queue = p_queue AND g.name = ANY (v_names));
  END IF;
  IF v_ids = '{}' THEN
    RETURN;
  END IF;
  v_locked := ARRAY(SELECT g.id FROM @.groups AS g WHERE g.id = ANY (v_ids)
    FOR UPDATE SKIP LOCKED);
  IF cardinality(v_locked) < cardinality(v_ids) THEN
    PERFORM @.tell_ended(ARRAY(SELECT e FROM unnest(p_ended) AS e WHERE e.grp <> ALL (v_locked)));
    v_places := ARRAY(SELECT i.ctid FROM @.inbox AS i WHERE i.ctid = ANY (v_places) AND (
      SELECT g.id FROM @.groups AS g WHERE g.queue = p_queue AND g.name = i.grp)
      = ANY (v_locked));
  END IF;
  IF v_dedup THEN
    v_chunks := ARRAY(SELECT i.chunk FROM @.inbox AS i WHERE i.ctid = ANY (v_places));
    PERFORM @.hold_dedup_keys(p_queue, v_chunks);
    v_places := ARRAY(SELECT i.ctid FROM @.inbox AS i
      WHERE i.queue = p_queue AND i.chunk >= p_from AND i.chunk = ANY (v_chunks));
  END IF;
  v_turn := nextval('@.turns');
  WITH deleted AS (
    DELETE FROM @.inbox WHERE ctid = ANY (v_places)
    RETURNING grp, chunk, count, bytes, due_at, keys IS NOT NULL AS dedup
  ), taken AS (
    SELECT (SELECT g.id FROM @.groups AS g WHERE g.queue = p_queue AND g.name = d.grp) AS grp,
      d.chunk, d.count, d.bytes, d.due_at, d.dedup
    FROM deleted AS d
  ), moved AS (
    INSERT INTO @.waiting (grp, chunk, from_index, count, bytes, due_at)
    SELECT t.grp, t.chunk, 0, t.count, t.bytes, t.due_at FROM taken AS t
    WHERE t.count > 0 AND NOT t.dedup
  )
  -- The row is there: it is found by its key, whatever else is.
  INSERT INTO @.group_states AS g (grp, version, queue, items, bytes, head, due_at, blocked,
      retry_from)
  SELECT n.grp, (SELECT max(v.version) FROM @.group_states AS v WHERE v.grp = n.grp), p_queue,
    sum(n.count), sum(n.bytes), coalesce(min(n.chunk) FILTER (WHERE n.count > 0), 0),
    min(n.due_at) FILTER (WHERE n.count > 0), bool_and(n.count > 0),
    min(n.due_at) FILTER (WHERE n.count = 0)
  FROM (
    SELECT t.grp, t.chunk, t.count, t.bytes, t.due_at FROM taken AS t
    UNION ALL
    SELECT e.grp, NULL, 0, 0, e.retry_at FROM unnest(p_ended) AS e WHERE e.grp = ANY (v_locked)
  ) AS n (grp, chunk, count, bytes, due_at) GROUP BY n.grp
  ON CONFLICT (grp, version) DO UPDATE SET
    -- What is in line gets its new key with its turn.
    version = g.version + (g.writes >= 64 AND g.blocked)::int,
    writes = CASE WHEN g.writes >= 64 AND g.blocked THEN 0 ELSE g.writes + 1 END,
    items = g.items + excluded.items,
    bytes = g.bytes + excluded.bytes,
    head = CASE WHEN excluded.items = 0 THEN g.head WHEN g.items = 0 THEN excluded.head
      ELSE least(g.head, excluded.head) END,
    due_at = CASE
      WHEN g.items = 0 THEN excluded.due_at
      WHEN g.due_at IS NULL THEN NULL
      ELSE least(g.due_at, excluded.due_at) END,
    blocked = g.blocked AND excluded.blocked,
    retry_from = least(g.retry_from, excluded.retry_from),
    -- Who is in line already keeps the place.
    turn = CASE WHEN NOT g.blocked AND g.wake_at <= p_now THEN g.turn ELSE v_turn END,
    ready_at = CASE WHEN NOT g.blocked AND g.ready_at <= p_now THEN g.ready_at
      ELSE @.not_before(least(g.retry_from, excluded.retry_from), p_now) END,
    wake_at = CASE
      WHEN NOT g.blocked AND g.wake_at <= p_now THEN g.wake_at
      WHEN g.items + excluded.items = 0 THEN NULL
      WHEN g.items + excluded.items >= p_max_size OR g.bytes + excluded.bytes >= p_max_bytes
        THEN p_now
      ELSE @.not_before(least(g.wake_at, excluded.due_at), p_now) END;
END $$;
`;
