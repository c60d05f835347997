/** What processes agree on about a definition, and what is kept of work that is over. */

export const RETENTION = String.raw`
-- The items of finished batches that are kept to be replayed.
CREATE TABLE @.kept (
  batch bigint PRIMARY KEY,
  grp text NOT NULL,
  data text NOT NULL
);

-- Stores a definition unless the stored one has a higher version. Returns what was stored before.
CREATE FUNCTION @.propose(
  p_queue int, p_version bigint, p_settings text, p_done_count bigint, p_done_age bigint,
  p_dead_count bigint, p_dead_age bigint, OUT version bigint, OUT settings text
) LANGUAGE plpgsql AS $$
BEGIN
  SELECT q.version, q.settings INTO version, settings FROM @.queues AS q
  WHERE q.id = p_queue FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'batchwork: no queue %', p_queue USING ERRCODE = 'BW002';
  END IF;
  IF settings IS NULL OR p_version > version
    OR (p_version = version AND p_settings <> settings) THEN
    UPDATE @.queues AS q SET version = p_version, settings = p_settings,
      done_count = p_done_count, done_age = p_done_age,
      dead_count = p_dead_count, dead_age = p_dead_age
    WHERE q.id = p_queue;
  END IF;
END $$;

-- Keeps the items of a batch that is settled, before they are freed.
CREATE FUNCTION @.keep_items(b @.batches) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO @.kept (batch, grp, data)
  SELECT b.id, (SELECT g.name FROM @.groups AS g WHERE g.id = b.grp),
    string_agg(CASE
      WHEN m.indices IS NULL AND m.count = p.count THEN p.data
      WHEN m.indices IS NULL THEN array_to_string(
        (string_to_array(p.data, E',\n'))[m.from_index + 1 : m.from_index + m.count], E',\n')
      ELSE (SELECT string_agg(t.texts[u.index + 1], E',\n' ORDER BY u.n)
        FROM unnest(m.indices) WITH ORDINALITY AS u (index, n),
          (SELECT string_to_array(p.data, E',\n') AS texts) AS t)
      END, E',\n' ORDER BY m.place)
  FROM @.members AS m JOIN @.payloads AS p ON p.chunk = m.chunk
  WHERE m.batch = b.id
  ON CONFLICT DO NOTHING;
END $$;

-- Puts kept items back as a new batch. Returns its id; NULL when they are not kept.
CREATE FUNCTION @.replay(p_queue int, p_batch bigint, p_at bigint) RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
  b @.batches;
  v_now bigint;
  v_name text;
  v_data text;
  v_group bigint;
  v_chunk bigint;
  v_id bigint;
BEGIN
  PERFORM @.check_isolation();
  SELECT t.* INTO b FROM @.batches AS t
  WHERE t.id = p_batch AND t.queue = p_queue AND t.state = 'done';
  SELECT k.grp, k.data INTO v_name, v_data FROM @.kept AS k WHERE k.batch = b.id;
  IF v_data IS NULL THEN
    RETURN NULL;
  END IF;
  -- Before the time is read: see @.marks.
  PERFORM pg_current_xact_id();
  -- Whoever forgets empty groups may take it away again before it is locked.
  WHILE v_group IS NULL LOOP
    PERFORM @.make_groups(p_queue, ARRAY[v_name]);
    SELECT g.id INTO v_group FROM @.groups AS g
    WHERE g.queue = p_queue AND g.name = v_name FOR UPDATE;
  END LOOP;
  v_now := coalesce(p_at, @.now_ms());
  v_chunk := nextval('@.chunk_ids');
  INSERT INTO @.payloads (chunk, count, live, data) VALUES (v_chunk, b.count, b.count, v_data);
  INSERT INTO @.batches (queue, grp, state, token, attempt, run_at, count, bytes, reason, parent,
      root, first_chunk, prepared, sealed_at)
    VALUES (p_queue, v_group, 'ready', 0, 1, v_now, b.count,
      coalesce(b.bytes, octet_length(v_data)), b.reason, b.id, coalesce(b.root, b.id), v_chunk,
      b.prepared, v_now)
    RETURNING id INTO v_id;
  INSERT INTO @.members (batch, place, chunk, from_index, count)
    VALUES (v_id, 1, v_chunk, 0, b.count);
  PERFORM @.tell_ended(ARRAY[ROW(p_queue, v_group, v_now)::@.ended]);
  RETURN v_id;
END $$;

-- Deletes these finished batches, and what is kept with them.
CREATE FUNCTION @.forget_batches(p_ids bigint[]) RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off AS $$
BEGIN
  DELETE FROM @.batches WHERE id = ANY (p_ids);
  IF EXISTS (SELECT FROM @.kept) THEN
    DELETE FROM @.kept WHERE batch = ANY (p_ids);
  END IF;
END $$;

-- The oldest finished batches of a queue up to an id, p_most of them, as far as they ended by then.
CREATE FUNCTION @.finished_before(p_queue int, p_last bigint, p_ended bigint, p_most int)
RETURNS bigint[] LANGUAGE sql STABLE AS $$
  SELECT ARRAY(SELECT t.id FROM (
      SELECT b.id, b.finished_at FROM @.batches AS b
      WHERE b.queue = p_queue AND b.state = 'done' AND b.id <= p_last
      ORDER BY b.id LIMIT p_most) AS t
    WHERE t.finished_at <= p_ended)
$$;

-- Forgets finished batches of a queue that says how many it keeps, at most p_most of each kind.
-- What was finished a moment ago is still asked for by whoever lost the reply.
CREATE FUNCTION @.forget_finished(
  p_queue int, p_count bigint, p_age bigint, p_most int, p_now bigint
) RETURNS void LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
  v_recent bigint := p_now - 60000;
  v_last bigint;
  v_ids bigint[];
BEGIN
  SELECT b.id INTO v_last FROM @.batches AS b WHERE b.queue = p_queue AND b.state = 'done'
  ORDER BY b.id DESC OFFSET p_count LIMIT 1;
  v_ids := @.finished_before(p_queue, v_last, v_recent, p_most)
    || @.finished_before(p_queue, 9223372036854775807, least(v_recent, p_now - p_age), p_most);
  IF v_ids <> '{}' THEN
    PERFORM @.forget_batches(ARRAY(SELECT b.id FROM @.batches AS b
      WHERE b.id = ANY (v_ids) FOR UPDATE SKIP LOCKED));
  END IF;
END $$;

-- Forgets dead letters beyond what the queue keeps, as if somebody had discarded them, but none
-- that onDead is still to be told of.
CREATE FUNCTION @.forget_letters(p_queue int, p_count bigint, p_age bigint, p_now bigint)
RETURNS void LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
  v_last bigint;
  v_ids bigint[];
BEGIN
  IF p_count IS NOT NULL THEN
    SELECT d.id INTO v_last FROM @.dead AS d WHERE d.queue = p_queue
    ORDER BY d.id DESC OFFSET p_count LIMIT 1;
  END IF;
  v_ids := ARRAY(SELECT t.id FROM (
      SELECT d.id, d.died_at, d.notice_at FROM @.dead AS d WHERE d.queue = p_queue
      ORDER BY d.id LIMIT 1000) AS t
    WHERE t.notice_at IS NULL AND (t.id <= v_last OR t.died_at <= p_now - p_age));
  IF v_ids <> '{}' THEN
    PERFORM @.discard(p_queue, v_ids, p_now);
  END IF;
END $$;
`;
