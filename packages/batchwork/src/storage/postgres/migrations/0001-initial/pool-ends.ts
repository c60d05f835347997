/** What is kept, told and freed when tasks end. */
import { STEADY_PLANS } from "./plans.ts";

export const POOL_ENDS = String.raw`
CREATE FUNCTION @.keep_task_results(
  p_pool @.pools, p_chunk bigint, p_indices int[], p_kind text, p_data text, p_error text,
  p_now bigint
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF p_pool.result_ttl_ms = 0 OR p_indices = '{}' THEN
    RETURN;
  END IF;
  INSERT INTO @.task_results (queue, chunk, first_index, count, indices, kind, data, error,
      ended_at, expires_at)
    VALUES (p_pool.queue, p_chunk, p_indices[1], cardinality(p_indices), @.listed(p_indices),
      p_kind, p_data, p_error, p_now, p_now + p_pool.result_ttl_ms);
END $$;

-- Ended tasks hold their idempotency keys for a while only.
CREATE FUNCTION @.end_task_keys(p_chunk bigint, p_indices int[], p_now bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM @.keys AS k WHERE k.chunk = p_chunk) THEN
    UPDATE @.keys SET expires_at = p_now + ttl_ms
    WHERE chunk = p_chunk AND idx = ANY (p_indices);
  END IF;
END $$;

-- Appends these items, each a text of its own, for the queue that is told.
CREATE FUNCTION @.tell_callbacks(p_pool @.pools, p_items text[], p_now bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  v_data text := array_to_string(p_items, E',\n');
BEGIN
  IF p_pool.callbacks IS NULL OR p_items = '{}' THEN
    RETURN;
  END IF;
  PERFORM @.append(ARRAY[p_pool.callbacks], ARRAY[''], ARRAY[cardinality(p_items)],
    ARRAY[octet_length(v_data) - 2 * (cardinality(p_items) - 1)], ARRAY[0::bigint],
    ARRAY[v_data], p_now);
END $$;

-- Tells of tasks that the storage itself ends: see core/ended-task.ts.
CREATE FUNCTION @.tell_ended(
  p_pool @.pools, p_chunk bigint, p_indices int[], p_kind text, p_error text, p_now bigint
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_tasks text[];
BEGIN
  IF p_pool.callbacks IS NULL OR p_indices = '{}' THEN
    RETURN;
  END IF;
  v_tasks := (SELECT string_to_array(p.data, E',\n') FROM @.payloads AS p
    WHERE p.chunk = p_chunk);
  PERFORM @.tell_callbacks(p_pool, ARRAY(
    SELECT json_build_object('ended', p_chunk || ':' || i.index, 'kind', p_kind,
      'error', p_error::json, 'task', v_tasks[i.index + 1])::text
    FROM unnest(p_indices) WITH ORDINALITY AS i (index, n) ORDER BY i.n), p_now);
END $$;

-- Makes dead letters of tasks, and keeps what they failed with.
CREATE FUNCTION @.bury_tasks(
  s @.slices, p_indices int[], p_errors text[], p_attempts int, p_now bigint
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_pool @.pools := @.pool(s.queue);
  v_tasks text[];
BEGIN
  IF p_indices = '{}' THEN
    RETURN;
  END IF;
  v_tasks := (SELECT string_to_array(p.data, E',\n') FROM @.payloads AS p
    WHERE p.chunk = s.chunk);
  FOR n IN 1 .. cardinality(p_indices) LOOP
    INSERT INTO @.dead (queue, grp, item, item_id, error, attempts, crashes, batch, root, died_at,
        notice_at)
      VALUES (s.queue, s.lane, v_tasks[p_indices[n] + 1], s.chunk || ':' || p_indices[n],
        p_errors[n], p_attempts, s.crashes, s.id, s.id, p_now,
        (SELECT CASE WHEN q.notify THEN 0 END FROM @.queues AS q WHERE q.id = s.queue));
    PERFORM @.keep_task_results(v_pool, s.chunk, ARRAY[p_indices[n]], 'failed', NULL,
      p_errors[n], p_now);
  END LOOP;
END $$;

-- Ends tasks as cancelled.
CREATE FUNCTION @.end_canceled(
  p_pool @.pools, p_chunk bigint, p_indices int[], p_now bigint
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM @.keep_task_results(p_pool, p_chunk, p_indices, 'canceled', NULL, NULL, p_now);
  PERFORM @.tell_ended(p_pool, p_chunk, p_indices, 'canceled', NULL, p_now);
  PERFORM @.end_task_keys(p_chunk, p_indices, p_now);
END $$;

-- Deletes results that are past their time, at most p_most.
CREATE FUNCTION @.forget_task_results(p_now bigint, p_most int) RETURNS void LANGUAGE plpgsql
${STEADY_PLANS} AS $$
BEGIN
  DELETE FROM @.task_results WHERE id = ANY (ARRAY(
    SELECT r.id FROM @.task_results AS r WHERE r.expires_at <= p_now
    ORDER BY r.expires_at LIMIT p_most FOR UPDATE SKIP LOCKED));
END $$;
`;
