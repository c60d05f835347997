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

-- Only inserts. The ids ascend in the order of the arrays.
CREATE FUNCTION @.append(
  p_queues int[], p_groups text[], p_counts int[], p_bytes int[], p_delays bigint[],
  p_data text[], p_at bigint
) RETURNS TABLE (id bigint, due_at bigint) LANGUAGE plpgsql AS $$
DECLARE
  v_now bigint := coalesce(p_at, @.now_ms());
  v_ids bigint[] := ARRAY(
    SELECT nextval('@.chunk_ids') FROM generate_series(1, cardinality(p_queues)));
BEGIN
  INSERT INTO @.payloads (chunk, count, live, data)
    SELECT * FROM unnest(v_ids, p_counts, p_counts, p_data);
  INSERT INTO @.inbox (queue, chunk, grp, count, bytes, due_at)
    SELECT i.queue, i.chunk, i.grp, i.count, i.bytes, v_now + i.delay
    FROM unnest(p_queues, v_ids, p_groups, p_counts, p_bytes, p_delays)
      AS i (queue, chunk, grp, count, bytes, delay);
  RETURN QUERY SELECT i.chunk, v_now + i.delay
    FROM unnest(v_ids, p_delays) WITH ORDINALITY AS i (chunk, delay, n) ORDER BY i.n;
END $$;

-- The same inside a transaction of the caller's: refuses another database.
CREATE FUNCTION @.append_within(
  p_database uuid, p_queues int[], p_groups text[], p_counts int[], p_bytes int[],
  p_delays bigint[], p_data text[], p_at bigint
) RETURNS TABLE (id bigint, due_at bigint) LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM @.meta AS m WHERE m.id = p_database) THEN
    RAISE EXCEPTION 'batchwork: another database' USING ERRCODE = 'BW001';
  END IF;
  RETURN QUERY SELECT *
    FROM @.append(p_queues, p_groups, p_counts, p_bytes, p_delays, p_data, p_at);
END $$;

-- Counts headers into their groups, as far as nobody else has the groups: about p_most of them.
CREATE FUNCTION @.count_inbox(
  p_queue int, p_max_size bigint, p_max_bytes bigint, p_most bigint, p_now bigint
) RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
  v_names text[];
  v_last bigint;
  v_turn bigint;
  v_ids bigint[];
BEGIN
  SELECT array_agg(DISTINCT i.grp), max(i.chunk) INTO v_names, v_last FROM (
    SELECT grp, chunk FROM @.inbox WHERE queue = p_queue ORDER BY chunk LIMIT p_most) AS i;
  IF v_names IS NULL THEN
    RETURN;
  END IF;
  -- In order of name: two claims that make the same groups wait for each other in one direction.
  INSERT INTO @.groups (queue, name)
    SELECT p_queue, n.name FROM unnest(v_names) AS n (name)
    WHERE NOT EXISTS (SELECT FROM @.groups AS g WHERE g.queue = p_queue AND g.name = n.name)
    ORDER BY n.name
    ON CONFLICT DO NOTHING;
  v_ids := ARRAY(SELECT g.id FROM @.groups AS g
    WHERE g.queue = p_queue AND g.name = ANY (v_names) FOR UPDATE SKIP LOCKED);
  IF v_ids = '{}' THEN
    RETURN;
  END IF;
  v_turn := nextval('@.turns');
  WITH taken AS (
    DELETE FROM @.inbox AS i USING @.groups AS g
    WHERE i.queue = p_queue AND i.chunk <= v_last
      AND g.id = ANY (v_ids) AND g.queue = p_queue AND g.name = i.grp
    RETURNING g.id, i.chunk, i.count, i.bytes, i.due_at
  ), moved AS (
    INSERT INTO @.waiting (grp, chunk, from_index, count, bytes, due_at)
    SELECT t.id, t.chunk, 0, t.count, t.bytes, t.due_at FROM taken AS t
  ), sums AS (
    SELECT t.id, sum(t.count) AS items, sum(t.bytes) AS bytes, min(t.chunk) AS head,
      min(t.due_at) AS due_at
    FROM taken AS t GROUP BY t.id
  )
  UPDATE @.groups AS g SET
    items = g.items + s.items,
    bytes = g.bytes + s.bytes,
    head = CASE WHEN g.items = 0 THEN s.head ELSE least(g.head, s.head) END,
    due_at = CASE
      WHEN g.items = 0 THEN s.due_at
      WHEN g.due_at IS NULL THEN NULL
      ELSE least(g.due_at, s.due_at) END,
    turn = CASE WHEN g.wake_at <= p_now THEN g.turn ELSE v_turn END,
    wake_at = CASE
      WHEN g.wake_at <= p_now THEN g.wake_at
      WHEN g.items + s.items >= p_max_size OR g.bytes + s.bytes >= p_max_bytes
        THEN least(p_now, s.due_at)
      ELSE least(g.wake_at, s.due_at) END
  FROM sums AS s WHERE g.id = s.id;
END $$;
`;
