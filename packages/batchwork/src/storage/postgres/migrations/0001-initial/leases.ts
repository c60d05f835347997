/** Incarnations, what becomes of the batches of those that end, and housekeeping. */

export const LEASES = String.raw`
-- Gives batches back unfinished, under their tokens: nothing counts.
CREATE FUNCTION @.release(p_batches bigint[], p_tokens int[], p_at bigint) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
  b record;
  v_now bigint;
BEGIN
  PERFORM @.check_isolation();
  PERFORM @.lock_groups(p_batches);
  v_now := coalesce(p_at, @.now_ms());
  FOR b IN
    UPDATE @.batches AS t SET state = 'ready', owner = NULL, run_at = v_now
    FROM unnest(p_batches, p_tokens) AS l (id, token)
    WHERE t.id = l.id AND t.token = l.token AND t.state = 'leased'
    RETURNING t.grp, t.suspect
  LOOP
    PERFORM @.group_ended(b.grp, 1, CASE WHEN b.suspect THEN 0 ELSE 1 END, v_now);
  END LOOP;
END $$;

-- Releases what the incarnation holds but does not know of; returns what it only believes to hold.
CREATE FUNCTION @.reconcile(
  p_incarnation bigint, p_batches bigint[], p_tokens int[], p_at bigint
) RETURNS TABLE (batch bigint, token int) LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
  v_strangers bigint[];
  v_tokens int[];
BEGIN
  SELECT array_agg(b.id), array_agg(b.token) INTO v_strangers, v_tokens FROM @.batches AS b
  WHERE b.state = 'leased' AND b.owner = p_incarnation AND NOT EXISTS (
    SELECT FROM unnest(p_batches, p_tokens) AS k (id, token)
    WHERE k.id = b.id AND k.token = b.token);
  PERFORM @.release(v_strangers, v_tokens, p_at);
  RETURN QUERY SELECT k.id, k.token FROM unnest(p_batches, p_tokens) AS k (id, token)
  WHERE NOT EXISTS (SELECT FROM @.batches AS b WHERE b.id = k.id AND b.token = k.token
    AND b.state = 'leased' AND b.owner = p_incarnation);
END $$;

-- Ends an incarnation in good order.
CREATE FUNCTION @.retire(p_incarnation bigint, p_at bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM @.check_isolation();
  PERFORM pg_advisory_xact_lock(@incarnations, p_incarnation::int);
  DELETE FROM @.incarnations WHERE id = p_incarnation;
  PERFORM FROM @.reconcile(p_incarnation, '{}', '{}', p_at);
END $$;

-- The owner died. Returns how many items are dead letters because of it.
CREATE FUNCTION @.crash(p_batch bigint, p_incarnation bigint, p_max_crashes int, p_now bigint)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  b @.batches;
  v_crashes int;
BEGIN
  SELECT * INTO b FROM @.batches WHERE id = p_batch;
  -- Only a crash while alone counts: nothing else can have caused it.
  v_crashes := b.crashes + CASE WHEN b.alone THEN 1 ELSE 0 END;
  PERFORM @.group_ended(b.grp, 1, 0, NULL);
  IF v_crashes < p_max_crashes THEN
    UPDATE @.batches SET state = 'ready', owner = NULL, run_at = p_now, suspect = true,
      crashes = v_crashes, suspected_by = p_incarnation, suspected_alone = b.alone
    WHERE id = p_batch;
    RETURN 0;
  END IF;
  -- The attempt that the process did not survive is not one that failed.
  PERFORM @.bury(p_batch, ARRAY(SELECT generate_series(0, b.count - 1)),
    array_fill(json_build_object('name', 'BatchworkError', 'message', format(
      'The process died %s times while it ran this batch alone.', v_crashes),
      'code', 'CRASHED')::text, ARRAY[b.count]),
    b.attempt - 1, v_crashes, p_now);
  PERFORM @.free_items(d.chunks, d.counts) FROM @.drop_members(p_batch) AS d;
  UPDATE @.batches SET state = 'done', owner = NULL, note = NULL, error = NULL,
    finished_at = p_now
  WHERE id = p_batch;
  RETURN b.count;
END $$;

-- Declares expired incarnations dead by compare-and-set, then releases their batches as suspects.
CREATE FUNCTION @.reap(
  p_max_crashes int, p_at bigint,
  OUT incarnations bigint[], OUT released int, OUT dead int, OUT next_in bigint
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
  b record;
  v_now bigint;
  v_lost int;
BEGIN
  PERFORM @.check_isolation();
  v_now := coalesce(p_at, @.now_ms());
  incarnations := ARRAY(SELECT i.id FROM @.incarnations AS i WHERE i.expires_at <= v_now
    ORDER BY i.id);
  FOR b IN SELECT unnest(incarnations) AS id LOOP
    PERFORM pg_advisory_xact_lock(@incarnations, b.id::int);
  END LOOP;
  WITH buried AS (
    DELETE FROM @.incarnations AS i WHERE i.id = ANY (incarnations) AND i.expires_at <= v_now
    RETURNING i.id
  ) SELECT coalesce(array_agg(d.id ORDER BY d.id), '{}') INTO incarnations FROM buried AS d;
  released := 0;
  dead := 0;
  IF incarnations <> '{}' THEN
    PERFORM @.lock_groups(ARRAY(SELECT t.id FROM @.batches AS t
      WHERE t.state = 'leased' AND t.owner = ANY (incarnations)));
    FOR b IN SELECT t.id, t.owner FROM @.batches AS t
      WHERE t.state = 'leased' AND t.owner = ANY (incarnations) ORDER BY t.id
    LOOP
      v_lost := @.crash(b.id, b.owner, p_max_crashes, v_now);
      dead := dead + v_lost;
      released := released + CASE WHEN v_lost = 0 THEN 1 ELSE 0 END;
    END LOOP;
  END IF;
  PERFORM @.keep_house();
  SELECT min(i.expires_at) - v_now INTO next_in FROM @.incarnations AS i;
END $$;

-- Takes back what was held against batches because of one incarnation.
CREATE FUNCTION @.absolve(p_incarnation bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  b record;
  v_crashes int;
  v_suspect boolean;
BEGIN
  PERFORM @.check_isolation();
  PERFORM @.lock_groups(ARRAY(SELECT t.id FROM @.batches AS t
    WHERE t.state = 'ready' AND t.suspect AND t.suspected_by = p_incarnation));
  FOR b IN SELECT t.id, t.grp, t.run_at, t.crashes, t.suspected_alone FROM @.batches AS t
    WHERE t.state = 'ready' AND t.suspect AND t.suspected_by = p_incarnation
  LOOP
    v_crashes := greatest(0, b.crashes - CASE WHEN b.suspected_alone THEN 1 ELSE 0 END);
    v_suspect := b.suspected_alone OR v_crashes > 0;
    UPDATE @.batches SET suspect = v_suspect, crashes = v_crashes, suspected_by = NULL
    WHERE id = b.id;
    PERFORM @.group_ended(b.grp, 0, CASE WHEN v_suspect THEN 0 ELSE 1 END, b.run_at);
  END LOOP;
END $$;

-- Deletes finished batches beyond the newest 10,000 of a queue, at most p_most.
CREATE FUNCTION @.forget_done(p_queue int, p_most int) RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
  v_last bigint;
BEGIN
  SELECT b.id INTO v_last FROM @.batches AS b WHERE b.queue = p_queue AND b.state = 'done'
  ORDER BY b.id DESC OFFSET 10000 LIMIT 1;
  IF v_last IS NOT NULL THEN
    DELETE FROM @.batches WHERE id IN (
      SELECT b.id FROM @.batches AS b
      WHERE b.queue = p_queue AND b.state = 'done' AND b.id <= v_last
      ORDER BY b.id LIMIT p_most FOR UPDATE SKIP LOCKED);
  END IF;
END $$;

-- Forgets what nobody needs any more, in bounded steps. Writes nothing when there is nothing.
CREATE FUNCTION @.keep_house() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_queue int;
  v_groups bigint[];
BEGIN
  FOR v_queue IN SELECT q.id FROM @.queues AS q LOOP
    PERFORM @.forget_done(v_queue, 10000);
  END LOOP;
  IF (SELECT count(*) FROM @.groups AS g WHERE g.items = 0 AND g.active = 0 AND g.ready = 0)
    < 1000 THEN
    RETURN;
  END IF;
  v_groups := ARRAY(SELECT g.id FROM @.groups AS g
    WHERE g.items = 0 AND g.active = 0 AND g.ready = 0 LIMIT 10000 FOR UPDATE SKIP LOCKED);
  DELETE FROM @.groups AS g WHERE g.id = ANY (v_groups) AND NOT EXISTS (
    SELECT FROM @.batches AS b WHERE b.grp = g.id AND b.queue = g.queue
      AND b.state = 'ready' AND b.suspect);
END $$;
`;
