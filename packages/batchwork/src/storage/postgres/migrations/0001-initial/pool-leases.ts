/** Giving slices back, and what becomes of those whose process died. */
import { STEADY_PLANS } from "./plans.ts";

export const POOL_LEASES = String.raw`
-- Cancelled tasks of slices that are locked do not go on: they are over. Slices of which nothing is
-- left are deleted.
CREATE FUNCTION @.drop_canceled(p_slices bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  s @.slices;
  v_gone int[];
  v_freed @.freed[] := '{}';
BEGIN
  FOR s IN SELECT * FROM @.slices AS t WHERE t.id = ANY (p_slices)
    AND EXISTS (SELECT FROM @.cancels AS c WHERE c.slice = t.id)
  LOOP
    v_gone := ARRAY(SELECT c.index FROM @.cancels AS c WHERE c.slice = s.id);
    DELETE FROM @.cancels WHERE slice = s.id;
    v_freed := v_freed || ROW(s.chunk, cardinality(v_gone))::@.freed;
    PERFORM @.leave_in_slice(s.id,
      @.without(@.held(s.first_index, s.count, s.indices), v_gone));
  END LOOP;
  IF v_freed <> '{}' THEN
    PERFORM @.free_tasks(v_freed);
  END IF;
END $$;

-- Tells claims of the keys of these slices.
CREATE FUNCTION @.tell_keys(p_slices bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO @.key_news (queue, key) SELECT DISTINCT s.queue, s.key FROM @.slices AS s
    WHERE s.id = ANY (p_slices) AND s.key <> '';
END $$;

-- Gives slices back under their tokens. What was held against them before is held still.
CREATE FUNCTION @.release_slices(p_slices bigint[], p_tokens int[], p_at bigint) RETURNS void
LANGUAGE plpgsql ${STEADY_PLANS} AS $$
DECLARE
  v_ids bigint[];
BEGIN
  PERFORM @.check_isolation();
  PERFORM @.lock_slices(p_slices);
  v_ids := ARRAY(SELECT s.id FROM unnest(p_slices, p_tokens) AS l (id, token),
      LATERAL (SELECT * FROM @.slices AS t WHERE t.id = l.id OFFSET 0) AS s
    WHERE s.token = l.token AND s.state = 'leased');
  PERFORM @.tell_keys(v_ids);
  PERFORM @.drop_canceled(v_ids);
  UPDATE @.slices SET owner = NULL,
    state = CASE WHEN company IS NULL THEN 'ready' ELSE 'suspect' END
  WHERE id = ANY (v_ids);
END $$;

-- Releases what the incarnation holds but does not know of; returns what it only believes to hold.
CREATE FUNCTION @.reconcile_slices(
  p_incarnation bigint, p_slices bigint[], p_tokens int[], p_at bigint
) RETURNS TABLE (slice bigint, token int) LANGUAGE plpgsql ${STEADY_PLANS} AS $$
DECLARE
  v_strangers bigint[];
  v_tokens int[];
BEGIN
  -- A claim whose connection broke may still be under way: what it gets is a stranger, too.
  PERFORM pg_advisory_xact_lock(@incarnations, p_incarnation::int);
  SELECT array_agg(s.id), array_agg(s.token) INTO v_strangers, v_tokens FROM @.slices AS s
  WHERE s.state = 'leased' AND s.owner = p_incarnation AND NOT EXISTS (
    SELECT FROM unnest(p_slices, p_tokens) AS k (id, token)
    WHERE k.id = s.id AND k.token = s.token);
  IF v_strangers IS NOT NULL THEN
    PERFORM @.release_slices(v_strangers, v_tokens, p_at);
  END IF;
  RETURN QUERY SELECT k.id, k.token FROM unnest(p_slices, p_tokens) AS k (id, token)
  WHERE NOT EXISTS (SELECT FROM @.slices AS s WHERE s.id = k.id AND s.token = k.token
    AND s.state = 'leased' AND s.owner = p_incarnation);
END $$;

-- The process died that ran these tasks: see core/task-crash.ts. The caller has declared it dead.
CREATE FUNCTION @.crash_slices(
  p_incarnation bigint, p_max_crashes int, p_now bigint, OUT released int, OUT dead int
) LANGUAGE plpgsql AS $$
DECLARE
  s @.slices;
  v_ids bigint[] := ARRAY(SELECT t.id FROM @.slices AS t
    WHERE t.state = 'leased' AND t.owner = p_incarnation);
  v_running int;
  v_freed @.freed[] := '{}';
  v_error text;
BEGIN
  released := 0;
  dead := 0;
  IF v_ids = '{}' THEN
    RETURN;
  END IF;
  PERFORM @.lock_slices(v_ids);
  v_running := (SELECT sum(t.count) FROM @.slices AS t WHERE t.id = ANY (v_ids));
  PERFORM @.tell_keys(v_ids);
  PERFORM @.drop_canceled(v_ids);
  FOR s IN SELECT * FROM @.slices AS t WHERE t.id = ANY (v_ids) ORDER BY t.chunk LOOP
    -- Only a crash while alone counts: nothing else can have caused it.
    s.crashes := s.crashes + CASE WHEN s.alone AND v_running = 1 THEN 1 ELSE 0 END;
    IF s.crashes < p_max_crashes THEN
      UPDATE @.slices SET state = 'suspect', owner = NULL, company_before = company,
        crashes_before = crashes, company = greatest(1, v_running / 8), crashes = s.crashes,
        suspected_by = p_incarnation
      WHERE id = s.id;
      released := released + 1;
      CONTINUE;
    END IF;
    v_error := json_build_object('name', 'BatchworkError', 'message', format(
      'The process died %s times while it ran this task alone.', s.crashes),
      'code', 'CRASHED')::text;
    -- The attempt that the process did not survive is not one that failed.
    PERFORM @.bury_tasks(s, @.held(s.first_index, s.count, s.indices),
      array_fill(v_error, ARRAY[s.count]), s.attempt - 1, p_now);
    PERFORM @.tell_ended(@.pool(s.queue), s.chunk, @.held(s.first_index, s.count, s.indices),
      'failed', v_error, p_now);
    DELETE FROM @.slices WHERE id = s.id;
    v_freed := v_freed || ROW(s.chunk, s.count)::@.freed;
    dead := dead + s.count;
  END LOOP;
  IF v_freed <> '{}' THEN
    PERFORM @.free_tasks(v_freed);
  END IF;
END $$;

-- Takes back what was held against slices because of one incarnation.
CREATE FUNCTION @.absolve_slices(p_incarnation bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_ids bigint[] := ARRAY(SELECT s.id FROM @.pools AS p JOIN @.slices AS s
    ON s.queue = p.queue AND s.state = 'suspect' WHERE s.suspected_by = p_incarnation);
BEGIN
  IF v_ids = '{}' THEN
    RETURN;
  END IF;
  PERFORM @.lock_slices(v_ids);
  PERFORM @.tell_keys(v_ids);
  UPDATE @.slices SET company = company_before, crashes = crashes_before, suspected_by = NULL,
    state = CASE WHEN company_before IS NULL THEN 'ready' ELSE state END
  WHERE id = ANY (v_ids) AND state = 'suspect' AND suspected_by = p_incarnation;
END $$;
`;
