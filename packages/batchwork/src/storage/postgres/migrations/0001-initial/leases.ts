/** Incarnations, what becomes of the batches of those that end, and housekeeping. */
import { STEADY_PLANS } from "./plans.ts";

export const LEASES = String.raw`
-- Gives batches back unfinished, under their tokens: nothing counts.
CREATE FUNCTION @.release(p_batches bigint[], p_tokens int[], p_at bigint) RETURNS void
LANGUAGE plpgsql ${STEADY_PLANS} AS $$
DECLARE
  v_now bigint;
  v_ended @.ended[];
BEGIN
  PERFORM @.check_isolation();
  PERFORM @.lock_batches(p_batches);
  v_now := coalesce(p_at, @.now_ms());
  WITH released AS (
    UPDATE @.batches AS t SET state = 'ready', owner = NULL, run_at = v_now
    FROM unnest(p_batches, p_tokens) AS l (id, token)
    WHERE t.id = l.id AND t.token = l.token AND t.state = 'leased'
    RETURNING t.queue, t.grp, t.suspect
  ) SELECT array_agg(ROW(r.queue, r.grp, CASE WHEN NOT r.suspect THEN v_now END)::@.ended)
    INTO v_ended FROM released AS r;
  PERFORM @.tell_ended(v_ended);
END $$;

-- Releases what the incarnation holds but does not know of; returns what it only believes to hold.
CREATE FUNCTION @.reconcile(
  p_incarnation bigint, p_batches bigint[], p_tokens int[], p_at bigint
) RETURNS TABLE (batch bigint, token int) LANGUAGE plpgsql ${STEADY_PLANS} AS $$
DECLARE
  v_strangers bigint[];
  v_tokens int[];
BEGIN
  -- A claim whose connection broke may still be under way: what it gets is a stranger, too.
  PERFORM pg_advisory_xact_lock(@incarnations, p_incarnation::int);
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
  UPDATE @.loops AS l SET owner = NULL WHERE l.owner = p_incarnation;
  PERFORM FROM @.reconcile_slices(p_incarnation, '{}', '{}', p_at);
  PERFORM FROM @.reconcile(p_incarnation, '{}', '{}', p_at);
END $$;

-- The owner of a batch that the caller has locked died. Returns how many items are dead letters
-- because of it.
CREATE FUNCTION @.crash(b @.batches, p_max_crashes int, p_now bigint) RETURNS int
LANGUAGE plpgsql AS $$
DECLARE
  -- Only a crash while alone counts: nothing else can have caused it.
  v_crashes int := b.crashes + CASE WHEN b.alone THEN 1 ELSE 0 END;
  v_error text;
BEGIN
  PERFORM @.tell_ended(ARRAY[ROW(b.queue, b.grp, NULL)::@.ended]);
  IF v_crashes < p_max_crashes THEN
    UPDATE @.batches SET state = 'ready', owner = NULL, run_at = p_now, suspect = true,
      crashes = v_crashes, suspected_by = b.owner, suspected_alone = b.alone
    WHERE id = b.id;
    RETURN 0;
  END IF;
  v_error := json_build_object('name', 'BatchworkError', 'message', format(
    'The process died %s times while it ran this batch alone.', v_crashes),
    'code', 'CRASHED')::text;
  -- The attempt that the process did not survive is not one that failed.
  PERFORM @.bury(b.id, ARRAY(SELECT generate_series(0, b.count - 1)),
    array_fill(v_error, ARRAY[b.count]),
    b.attempt - 1, v_crashes, p_now);
  PERFORM @.drop_members(ARRAY[b.id]);
  PERFORM @.finish(b.id, NULL, v_error, p_now);
  RETURN b.count;
END $$;

-- Declares expired incarnations dead by compare-and-set, then releases their batches as suspects.
CREATE FUNCTION @.reap(
  p_max_crashes int, p_at bigint,
  OUT incarnations bigint[], OUT released int, OUT dead int, OUT next_in bigint
) LANGUAGE plpgsql ${STEADY_PLANS} AS $$
DECLARE
  b @.batches;
  v_id bigint;
  v_now bigint;
  v_lost int;
  v_slices record;
BEGIN
  PERFORM @.check_isolation();
  v_now := coalesce(p_at, @.now_ms());
  incarnations := ARRAY(SELECT i.id FROM @.incarnations AS i WHERE i.expires_at <= v_now
    ORDER BY i.id);
  FOREACH v_id IN ARRAY incarnations LOOP
    PERFORM pg_advisory_xact_lock(@incarnations, v_id::int);
  END LOOP;
  WITH buried AS (
    DELETE FROM @.incarnations AS i WHERE i.id = ANY (incarnations) AND i.expires_at <= v_now
    RETURNING i.id
  ) SELECT coalesce(array_agg(d.id ORDER BY d.id), '{}') INTO incarnations FROM buried AS d;
  released := 0;
  dead := 0;
  IF incarnations <> '{}' THEN
    UPDATE @.loops AS l SET owner = NULL, crashes = l.crashes + 1
    WHERE l.owner = ANY (incarnations);
    PERFORM @.lock_batches(ARRAY(SELECT t.id FROM @.batches AS t
      WHERE t.state = 'leased' AND t.owner = ANY (incarnations)));
    FOR b IN SELECT * FROM @.batches AS t
      WHERE t.state = 'leased' AND t.owner = ANY (incarnations) ORDER BY t.id
    LOOP
      v_lost := @.crash(b, p_max_crashes, v_now);
      dead := dead + v_lost;
      released := released + CASE WHEN v_lost = 0 THEN 1 ELSE 0 END;
    END LOOP;
    FOREACH v_id IN ARRAY incarnations LOOP
      v_slices := @.crash_slices(v_id, p_max_crashes, v_now);
      released := released + v_slices.released;
      dead := dead + v_slices.dead;
    END LOOP;
  END IF;
  PERFORM @.keep_house(v_now);
  PERFORM @.forget_keys(v_now, 10000);
  PERFORM @.forget_results(v_now, 10000);
  PERFORM @.forget_task_results(v_now, 10000);
  SELECT min(i.expires_at) - v_now INTO next_in FROM @.incarnations AS i;
END $$;

-- Takes back what was held against batches because of one incarnation.
CREATE FUNCTION @.absolve(p_incarnation bigint) RETURNS void LANGUAGE plpgsql
${STEADY_PLANS} AS $$
DECLARE
  b record;
  v_crashes int;
  v_suspect boolean;
BEGIN
  PERFORM @.check_isolation();
  PERFORM @.lock_batches(ARRAY(SELECT t.id FROM @.batches AS t
    WHERE t.state = 'ready' AND t.suspect AND t.suspected_by = p_incarnation));
  FOR b IN SELECT t.id, t.queue, t.grp, t.run_at, t.crashes, t.suspected_alone
    FROM @.batches AS t
    WHERE t.state = 'ready' AND t.suspect AND t.suspected_by = p_incarnation
  LOOP
    v_crashes := greatest(0, b.crashes - CASE WHEN b.suspected_alone THEN 1 ELSE 0 END);
    v_suspect := b.suspected_alone OR v_crashes > 0;
    UPDATE @.batches SET suspect = v_suspect, crashes = v_crashes, suspected_by = NULL
    WHERE id = b.id;
    IF NOT v_suspect THEN
      PERFORM @.tell_ended(ARRAY[ROW(b.queue, b.grp, b.run_at)::@.ended]);
    END IF;
  END LOOP;
  PERFORM @.absolve_slices(p_incarnation);
END $$;

-- Deletes finished batches beyond what is kept of them: the newest 10,000 of a queue, if it says
-- nothing. At most p_most, the newest of them first and no further back than p_back ids: where an
-- open snapshot keeps what was deleted, it lies behind them.
CREATE FUNCTION @.forget_done(p_queue int, p_most int, p_back bigint, p_now bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  q @.queues;
  v_last bigint;
BEGIN
  SELECT * INTO q FROM @.queues WHERE id = p_queue;
  IF q.done_count IS NOT NULL OR q.done_age IS NOT NULL THEN
    PERFORM @.forget_finished(p_queue, q.done_count, q.done_age, p_most, p_now);
    RETURN;
  END IF;
  SELECT b.id INTO v_last FROM @.batches AS b WHERE b.queue = p_queue AND b.state = 'done'
  ORDER BY b.id DESC OFFSET 10000 LIMIT 1;
  IF v_last IS NOT NULL THEN
    PERFORM @.forget_batches(ARRAY(
      SELECT b.id FROM @.batches AS b
      WHERE b.queue = p_queue AND b.state = 'done' AND b.id <= v_last
        AND b.id > v_last - p_back
      ORDER BY b.id DESC LIMIT p_most FOR UPDATE SKIP LOCKED));
  END IF;
END $$;

-- Forgets what nobody needs any more, in bounded steps. Writes nothing when there is nothing.
CREATE FUNCTION @.keep_house(p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_all bigint := 9223372036854775807;
  q @.queues;
  v_ids bigint[];
BEGIN
  FOR q IN SELECT * FROM @.queues LOOP
    PERFORM @.forget_done(q.id, 10000, v_all, p_now);
    IF q.dead_count IS NOT NULL OR q.dead_age IS NOT NULL THEN
      PERFORM @.forget_letters(q.id, q.dead_count, q.dead_age, p_now);
    END IF;
  END LOOP;
  v_ids := ARRAY(SELECT s.grp FROM @.group_states AS s
    WHERE s.items = 0 AND s.retry_from IS NULL LIMIT 10000);
  IF cardinality(v_ids) < 1000 THEN
    RETURN;
  END IF;
  v_ids := ARRAY(SELECT g.id FROM @.groups AS g WHERE g.id = ANY (v_ids) FOR UPDATE SKIP LOCKED);
  -- What is looked up before the lock may be old.
  v_ids := ARRAY(SELECT s.grp FROM @.group_states AS s
    WHERE s.grp = ANY (v_ids) AND s.items = 0 AND s.retry_from IS NULL
      AND NOT EXISTS (SELECT FROM @.batches AS b WHERE b.grp = s.grp AND b.state = 'leased')
      AND NOT EXISTS (SELECT FROM @.batches AS b
        WHERE b.grp = s.grp AND b.state = 'ready' AND NOT b.suspect)
      AND NOT EXISTS (SELECT FROM @.batches AS b
        WHERE b.grp = s.grp AND b.queue = s.queue AND b.state = 'ready' AND b.suspect));
  DELETE FROM @.group_states AS s WHERE s.grp = ANY (v_ids);
  DELETE FROM @.groups AS g WHERE g.id = ANY (v_ids);
END $$;
`;
