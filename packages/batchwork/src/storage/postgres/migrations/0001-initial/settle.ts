/** The end of an attempt, carried out under the batch's token and its row's lock. */
import { STEADY_PLANS } from "./plans.ts";

export const SETTLE = String.raw`
-- Locks batches, in one order everywhere. What is read before may be old. Nobody waits for ever: a
-- process may stop for good with a transaction open.
CREATE FUNCTION @.lock_batches(p_batches bigint[]) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '5s' AS $$
BEGIN
  PERFORM FROM @.batches AS b WHERE b.id = ANY (p_batches) ORDER BY b.id FOR UPDATE;
END $$;

-- The items of a batch, by place. id: where it is not that of the place in the chunk.
CREATE FUNCTION @.batch_items(p_batch bigint)
RETURNS TABLE (place int, member int, chunk bigint, index int, id text) LANGUAGE sql STABLE AS $$
  SELECT (row_number() OVER (ORDER BY m.place, n.n) - 1)::int, m.place, m.chunk,
    coalesce(m.indices[n.n], m.from_index + n.n - 1), m.ids[n.n]
  FROM @.members AS m CROSS JOIN LATERAL generate_series(1, m.count) AS n (n)
  WHERE m.batch = p_batch
$$;

-- Takes items off their chunks and deletes the chunks of which nothing is left.
CREATE FUNCTION @.free_items(p_chunks bigint[], p_counts int[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_whole bigint[];
  v_parts bigint[];
  v_counts int[];
  v_live int;
BEGIN
  SELECT array_agg(f.chunk) FILTER (WHERE f.whole),
      coalesce(array_agg(f.chunk ORDER BY f.chunk) FILTER (WHERE NOT f.whole), '{}'),
      array_agg(f.count ORDER BY f.chunk) FILTER (WHERE NOT f.whole)
    INTO v_whole, v_parts, v_counts FROM (
    SELECT u.chunk, u.count,
      u.count = (SELECT p.count FROM @.payloads AS p WHERE p.chunk = u.chunk) AS whole
    FROM unnest(p_chunks, p_counts) AS u (chunk, count) OFFSET 0) AS f;
  DELETE FROM @.payloads WHERE chunk = ANY (v_whole);
  -- Others may be about to free another part: they take their turns, in one order everywhere.
  FOR i IN 1 .. cardinality(v_parts) LOOP
    UPDATE @.payloads SET live = live - v_counts[i] WHERE chunk = v_parts[i] RETURNING live
      INTO v_live;
    IF v_live <= 0 THEN
      DELETE FROM @.payloads WHERE chunk = v_parts[i];
    END IF;
  END LOOP;
END $$;

-- Batches are over: their members go, and what of their chunks they had.
CREATE FUNCTION @.drop_members(p_batches bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_chunks bigint[];
  v_counts int[];
BEGIN
  WITH dropped AS (
    DELETE FROM @.members WHERE batch = ANY (p_batches) RETURNING chunk, count
  ), sums AS (
    SELECT d.chunk, sum(d.count)::int AS count FROM dropped AS d GROUP BY d.chunk
  ) SELECT array_agg(s.chunk), array_agg(s.count) INTO v_chunks, v_counts FROM sums AS s;
  PERFORM @.free_items(v_chunks, v_counts);
END $$;

-- Nothing of the batch is left to do.
CREATE FUNCTION @.finish(
  p_batch bigint, p_settled int, p_error text, p_now bigint
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE @.batches SET state = 'done', settled = coalesce(p_settled, settled), owner = NULL,
    note = NULL, error = p_error, finished_at = p_now
  WHERE id = p_batch;
END $$;

-- Puts the items at these positions into a new batch. Its crash record is clean: the handler ended.
CREATE FUNCTION @.insert_child(
  p_parent @.batches, p_chunks bigint[], p_indices int[], p_ids text[], p_attempt int,
  p_run_at bigint, p_error text, p_now bigint
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_id bigint;
BEGIN
  INSERT INTO @.batches (queue, grp, state, token, attempt, run_at, count, reason, parent, root,
      first_chunk, prepared, sealed_at, error)
    VALUES (p_parent.queue, p_parent.grp, 'ready', 0, p_attempt, p_run_at,
      cardinality(p_chunks), p_parent.reason, p_parent.id, coalesce(p_parent.root, p_parent.id),
      -- What it was made of is gone when the batch was prepared.
      CASE WHEN p_parent.prepared THEN p_parent.first_chunk ELSE p_chunks[1] END,
      p_parent.prepared, p_now, p_error)
    RETURNING id INTO v_id;
  INSERT INTO @.members (batch, place, chunk, from_index, count, indices, ids)
    SELECT v_id, row_number() OVER (ORDER BY min(i.n)), i.chunk, min(i.index), count(*),
      CASE WHEN max(i.index) - min(i.index) + 1 <> count(*)
        THEN array_agg(i.index ORDER BY i.n) END,
      CASE WHEN count(i.id) > 0 THEN array_agg(i.id ORDER BY i.n) END
    FROM unnest(p_chunks, p_indices, p_ids) WITH ORDINALITY AS i (chunk, index, id, n)
    GROUP BY i.chunk;
END $$;

-- Carries a split out: children, dead letters, and the rest is done. Returns when the first of the
-- children may run.
CREATE FUNCTION @.split(p_batch @.batches, p_outcome json, p_now bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  v_run_at bigint;
  v_retry_at bigint;
  v_chunks bigint[];
  v_indices int[];
  v_ids text[];
  v_child json;
  v_gone int[];
  v_freed bigint[];
  v_counts int[];
BEGIN
  SELECT array_agg(i.chunk ORDER BY i.place), array_agg(i.index ORDER BY i.place),
      array_agg(i.id ORDER BY i.place)
    INTO v_chunks, v_indices, v_ids FROM @.batch_items(p_batch.id) AS i;
  PERFORM @.bury(p_batch.id,
    ARRAY(SELECT (d.value->>'position')::int
      FROM json_array_elements(p_outcome->'dead') WITH ORDINALITY AS d (value, n) ORDER BY d.n),
    ARRAY(SELECT d.value->>'error'
      FROM json_array_elements(p_outcome->'dead') WITH ORDINALITY AS d (value, n) ORDER BY d.n),
    p_batch.attempt, p_batch.crashes, p_now);
  PERFORM @.end_keys(ARRAY[p_batch.id], ARRAY(
    SELECT p.value::text::int FROM json_array_elements(p_outcome->'children') AS c,
      json_array_elements(c.value->'positions') AS p
    UNION ALL
    SELECT (d.value->>'position')::int FROM json_array_elements(p_outcome->'dead') AS d), p_now);
  -- The children take their places over.
  DELETE FROM @.members WHERE batch = p_batch.id;
  FOR v_child IN SELECT value FROM json_array_elements(p_outcome->'children') LOOP
    v_run_at := p_now + (v_child->>'delayMs')::bigint;
    v_retry_at := least(v_retry_at, v_run_at);
    PERFORM @.insert_child(p_batch,
      array_agg(v_chunks[p.place + 1] ORDER BY p.n),
      array_agg(v_indices[p.place + 1] ORDER BY p.n),
      array_agg(v_ids[p.place + 1] ORDER BY p.n),
      (v_child->>'attempt')::int, v_run_at, v_child->>'error', p_now)
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
  PERFORM @.finish(p_batch.id, p_batch.token, p_outcome->>'error', p_now);
  RETURN v_retry_at;
END $$;

-- Carries out an outcome that is not plain success. Returns when the next attempt may run.
CREATE FUNCTION @.settle_failed(b @.batches, p_outcome json, p_now bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  v_run_at bigint := p_now + (p_outcome->>'delayMs')::bigint;
BEGIN
  PERFORM @.keep_results(b.queue, p_outcome->'results', p_now);
  IF p_outcome->>'kind' = 'split' THEN
    RETURN @.split(b, p_outcome, p_now);
  END IF;
  IF p_outcome->>'kind' = 'done' THEN
    PERFORM @.end_keys(ARRAY[b.id], '{}', p_now);
    IF (p_outcome->>'keep')::boolean THEN
      PERFORM @.keep_items(b);
    END IF;
    PERFORM @.drop_members(ARRAY[b.id]);
    PERFORM @.finish(b.id, b.token, NULL, p_now);
    RETURN NULL;
  END IF;
  UPDATE @.batches SET state = 'ready', settled = token, owner = NULL,
    attempt = (p_outcome->>'attempt')::int, run_at = v_run_at, error = p_outcome->>'error'
  WHERE id = b.id;
  RETURN CASE WHEN NOT b.suspect THEN v_run_at END;
END $$;

-- Settles those batches whose current lease has the token. An outcome of NULL: every item
-- succeeded, there are no results, and nothing is kept. Returns what claims have to hear of.
CREATE FUNCTION @.settle(p_batches bigint[], p_tokens int[], p_outcomes text[], p_now bigint)
RETURNS @.ended[] LANGUAGE plpgsql AS $$
DECLARE
  b @.batches;
  v_done bigint[];
  v_clear bigint;
  v_ended @.ended[];
  v_retry_at bigint;
BEGIN
  PERFORM @.lock_batches(p_batches);
  v_done := ARRAY(SELECT u.id FROM unnest(p_batches, p_tokens, p_outcomes) AS u (id, token, outcome)
    WHERE u.outcome IS NULL AND (
      SELECT t.token = u.token AND t.state = 'leased' FROM @.batches AS t WHERE t.id = u.id));
  WITH done AS (
    UPDATE @.batches AS t SET state = 'done', settled = token, owner = NULL, note = NULL,
      error = NULL, finished_at = p_now
    WHERE t.id = ANY (v_done)
    RETURNING t.queue, t.grp, t.tells
  ) SELECT coalesce(array_agg(ROW(d.queue, d.grp, NULL)::@.ended), '{}')
    INTO v_ended FROM done AS d WHERE d.tells;
  IF v_done <> '{}' THEN
    PERFORM @.end_keys(v_done, '{}', p_now);
    PERFORM @.drop_members(v_done);
  END IF;
  FOR i IN 1 .. cardinality(p_batches) LOOP
    v_clear := CASE WHEN p_batches[i] % 512 = 0 THEN p_batches[i] ELSE v_clear END;
    CONTINUE WHEN p_outcomes[i] IS NULL;
    SELECT * INTO b FROM @.batches
    WHERE id = p_batches[i] AND token = p_tokens[i] AND state = 'leased';
    CONTINUE WHEN NOT FOUND;
    v_retry_at := @.settle_failed(b, p_outcomes[i]::json, p_now);
    IF b.tells OR v_retry_at IS NOT NULL THEN
      v_ended := array_append(v_ended, ROW(b.queue, b.grp, v_retry_at)::@.ended);
    END IF;
  END LOOP;
  -- Now and then whoever ends a batch clears up, whatever the reaper keeps up with.
  IF v_clear IS NOT NULL THEN
    PERFORM @.forget_done(t.queue, 1024, 8192, p_now) FROM @.batches AS t WHERE t.id = v_clear;
  END IF;
  RETURN v_ended;
END $$;

-- The settling of one batch, in a transaction that a handler shares. The commit comes in the same
-- message, so what must not be committed has to fail.
CREATE FUNCTION @.settle_one(p_batch bigint, p_token int, p_outcome json, p_at bigint)
RETURNS void LANGUAGE plpgsql ${STEADY_PLANS} AS $$
BEGIN
  PERFORM @.check_isolation();
  PERFORM @.lock_batches(ARRAY[p_batch]);
  IF NOT EXISTS (SELECT FROM @.batches AS b
    WHERE b.id = p_batch AND b.token = p_token AND b.state = 'leased') THEN
    RAISE EXCEPTION 'batchwork: the lease is lost' USING ERRCODE = 'BW003';
  END IF;
  PERFORM @.tell_ended(@.settle(ARRAY[p_batch], ARRAY[p_token], ARRAY[p_outcome::text],
    coalesce(p_at, @.now_ms())));
END $$;

-- Waits for whoever is about to settle the batch, then tells whether an attempt under this token
-- was settled.
CREATE FUNCTION @.was_settled(p_batch bigint, p_token int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  PERFORM @.lock_batches(ARRAY[p_batch]);
  RETURN EXISTS (SELECT FROM @.batches AS b WHERE b.id = p_batch AND b.settled = p_token);
END $$;
`;
