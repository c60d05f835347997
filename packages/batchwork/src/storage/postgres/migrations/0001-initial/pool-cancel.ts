/** Cancelling tasks, and finding out where they are. */
import { STEADY_PLANS } from "./plans.ts";

export const POOL_CANCEL = String.raw`
-- Has the pool alone, with everything in slices that was appended before.
CREATE FUNCTION @.enter_to_cancel(p_queue int, p_now bigint) RETURNS @.pools LANGUAGE plpgsql AS $$
DECLARE
  p @.pools := @.pool(p_queue);
BEGIN
  PERFORM @.check_isolation();
  PERFORM pg_advisory_xact_lock(@queues, p_queue);
  WHILE @.take_in(p_queue, p_now) LOOP
    NULL;
  END LOOP;
  RETURN p;
END $$;

-- Cancels tasks of a slice that is locked.
CREATE FUNCTION @.cancel_in_slice(p_pool @.pools, s @.slices, p_wanted int[], p_now bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF p_wanted = '{}' THEN
    RETURN;
  END IF;
  PERFORM @.end_canceled(p_pool, s.chunk, p_wanted, p_now);
  IF s.state = 'leased' THEN
    INSERT INTO @.cancels (slice, index) SELECT s.id, w FROM unnest(p_wanted) AS w;
    RETURN;
  END IF;
  PERFORM @.leave_in_slice(s.id,
    @.without(@.held(s.first_index, s.count, s.indices), p_wanted));
  PERFORM @.free_items(ARRAY[s.chunk], ARRAY[cardinality(p_wanted)]);
END $$;

CREATE FUNCTION @.canceled_in(p_slice bigint) RETURNS int[] LANGUAGE plpgsql AS $$
BEGIN
  RETURN ARRAY(SELECT c.index FROM @.cancels AS c WHERE c.slice = p_slice);
END $$;

-- How the task ended, if that is kept; n: as which of its row.
CREATE FUNCTION @.task_result(
  p_queue int, p_chunk bigint, p_index int, p_now bigint, OUT r @.task_results, OUT n int
) LANGUAGE plpgsql AS $$
BEGIN
  SELECT t.* INTO r FROM @.task_results AS t
  WHERE t.chunk = p_chunk AND t.queue = p_queue
    AND (t.expires_at IS NULL OR t.expires_at > p_now) AND t.first_index <= p_index
    AND CASE WHEN t.indices IS NULL THEN p_index < t.first_index + t.count
      ELSE p_index = ANY (t.indices) END
  LIMIT 1;
  n := coalesce(array_position(r.indices, p_index) - 1, p_index - r.first_index);
END $$;

CREATE FUNCTION @.cancel_tasks(p_queue int, p_chunks bigint[], p_indices int[], p_at bigint)
RETURNS TABLE (chunk bigint, index int, answer text) LANGUAGE plpgsql ${STEADY_PLANS} AS $$
DECLARE
  v_now bigint := coalesce(p_at, @.now_ms());
  v_pool @.pools := @.enter_to_cancel(p_queue, v_now);
  v_ids bigint[];
  s @.slices;
  v_wanted int[];
  v_before int[];
BEGIN
  v_now := coalesce(p_at, @.now_ms());
  v_ids := ARRAY(SELECT t.id FROM @.slices AS t
    WHERE t.queue = p_queue AND t.chunk = ANY (p_chunks));
  PERFORM @.lock_slices(v_ids);
  RETURN QUERY SELECT u.chunk, u.index, 'finished' FROM unnest(p_chunks, p_indices)
      AS u (chunk, index), LATERAL @.task_result(p_queue, u.chunk, u.index, v_now) AS f
    WHERE (f.r).id IS NOT NULL;
  FOR s IN SELECT * FROM @.slices AS t WHERE t.id = ANY (v_ids) ORDER BY t.chunk, t.first_index
  LOOP
    v_wanted := @.shared(@.held(s.first_index, s.count, s.indices), ARRAY(
      SELECT u.index FROM unnest(p_chunks, p_indices) AS u (chunk, index)
      WHERE u.chunk = s.chunk));
    v_before := @.canceled_in(s.id);
    RETURN QUERY SELECT s.chunk, b, 'finished' FROM unnest(@.shared(v_wanted, v_before)) AS b;
    v_wanted := @.without(v_wanted, v_before);
    PERFORM @.cancel_in_slice(v_pool, s, v_wanted, v_now);
    RETURN QUERY SELECT s.chunk, w, CASE WHEN s.state = 'leased' THEN 'canceling'
      ELSE 'canceled' END FROM unnest(v_wanted) AS w;
  END LOOP;
END $$;

CREATE FUNCTION @.cancel_all(
  p_queue int, p_slices int, p_at bigint, OUT canceled bigint, OUT more boolean
) LANGUAGE plpgsql ${STEADY_PLANS} AS $$
DECLARE
  v_now bigint := coalesce(p_at, @.now_ms());
  v_pool @.pools := @.enter_to_cancel(p_queue, v_now);
  v_ids bigint[];
  s @.slices;
  v_wanted int[];
BEGIN
  v_now := coalesce(p_at, @.now_ms());
  v_ids := ARRAY(SELECT t.id FROM @.slices AS t WHERE t.queue = p_queue AND (t.state <> 'leased'
      OR (SELECT count(*) FROM @.cancels AS c WHERE c.slice = t.id) < t.count)
    ORDER BY t.chunk, t.first_index LIMIT p_slices);
  more := cardinality(v_ids) = p_slices;
  PERFORM @.lock_slices(v_ids);
  canceled := 0;
  FOR s IN SELECT * FROM @.slices AS t WHERE t.id = ANY (v_ids) ORDER BY t.chunk, t.first_index
  LOOP
    v_wanted := @.without(@.held(s.first_index, s.count, s.indices), @.canceled_in(s.id));
    PERFORM @.cancel_in_slice(v_pool, s, v_wanted, v_now);
    canceled := canceled + cardinality(v_wanted);
  END LOOP;
END $$;

CREATE FUNCTION @.find_tasks(p_queue int, p_chunks bigint[], p_indices int[], p_at bigint)
RETURNS TABLE (status text, attempt int, at bigint, kind text, value text, error text)
LANGUAGE plpgsql ${STEADY_PLANS} AS $$
DECLARE
  v_now bigint := coalesce(p_at, @.now_ms());
BEGIN
  PERFORM @.pool(p_queue);
  RETURN QUERY SELECT
      CASE WHEN (f.r).id IS NOT NULL THEN 'finished' WHEN s.state = 'leased' THEN 'running'
        WHEN s.id IS NOT NULL OR i.chunk IS NOT NULL THEN 'pending' ELSE 'unknown' END,
      coalesce(s.attempt, 1),
      CASE WHEN (f.r).id IS NOT NULL THEN (f.r).ended_at ELSE coalesce(s.run_at, i.due_at) END,
      (f.r).kind, @.slice((f.r).data, f.n, 1), (f.r).error
    FROM unnest(p_chunks, p_indices) WITH ORDINALITY AS u (chunk, index, n)
      CROSS JOIN LATERAL @.task_result(p_queue, u.chunk, u.index, v_now) AS f
      LEFT JOIN LATERAL (SELECT * FROM @.slices AS t
        WHERE t.queue = p_queue AND t.chunk = u.chunk AND t.first_index <= u.index
          AND CASE WHEN t.indices IS NULL THEN u.index < t.first_index + t.count
            ELSE u.index = ANY (t.indices) END LIMIT 1) AS s ON true
      LEFT JOIN LATERAL (SELECT * FROM @.inbox AS t
        WHERE t.queue = p_queue AND t.chunk = u.chunk AND u.index < t.count) AS i ON true
    ORDER BY u.n;
END $$;

CREATE FUNCTION @.count_tasks(p_queue int, p_at bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  v_now bigint := coalesce(p_at, @.now_ms());
  p @.pools := @.pool(p_queue);
BEGIN
  RETURN (SELECT json_build_object(
    'paused', (SELECT q.paused FROM @.queues AS q WHERE q.id = p_queue),
    'parallelism', p.parallelism,
    'waiting', coalesce(sum(c.count) FILTER (WHERE c.state <> 'leased' AND NOT c.late), 0),
    'delayed', coalesce(sum(c.count) FILTER (WHERE c.state <> 'leased' AND c.late), 0),
    'retrying', coalesce(sum(c.count) FILTER (WHERE c.state <> 'leased' AND c.attempt > 1), 0),
    'suspects', coalesce(sum(c.count) FILTER (WHERE c.state = 'suspect'), 0),
    'running', coalesce(sum(c.count) FILTER (WHERE c.state = 'leased'), 0),
    'canceling', (SELECT count(*) FROM @.cancels AS x JOIN @.slices AS s ON s.id = x.slice
      WHERE s.queue = p_queue),
    'keys', count(DISTINCT c.key),
    'dead', (SELECT count(*) FROM @.dead AS d WHERE d.queue = p_queue),
    'nextAt', min(c.run_at) FILTER (WHERE c.state <> 'leased' AND c.late))::text
  FROM (
    SELECT s.state, s.count, s.attempt, s.key, s.run_at,
      s.state = 'delayed' AND s.run_at > v_now AS late
    FROM @.slices AS s WHERE s.queue = p_queue
    UNION ALL
    SELECT 'ready', i.count, 1, substr(i.grp, strpos(i.grp, ':') + 1), i.due_at, i.due_at > v_now
    FROM @.inbox AS i WHERE i.queue = p_queue
  ) AS c);
END $$;
`;
