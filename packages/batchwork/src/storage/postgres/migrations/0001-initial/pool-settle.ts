/** How the tasks of slices ended, carried out under their tokens and their rows' locks. */

export const POOL_SETTLE = String.raw`
-- What is left to free at the end, chunk by chunk in one order everywhere.
CREATE TYPE @.freed AS (chunk bigint, count int);

CREATE FUNCTION @.free_tasks(p_freed @.freed[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_chunks bigint[];
  v_counts int[];
BEGIN
  SELECT array_agg(f.chunk), array_agg(f.count) INTO v_chunks, v_counts FROM (
    SELECT u.chunk, sum(u.count)::int AS count FROM unnest(p_freed) AS u GROUP BY u.chunk) AS f;
  PERFORM @.free_items(v_chunks, v_counts);
END $$;

-- Tells what is left of callbacks after tasks were cancelled.
CREATE FUNCTION @.tell_settled(
  p_pool @.pools, p_callbacks json, p_counted int[], p_now bigint
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_indices int[] := ARRAY(SELECT json_array_elements_text(p_callbacks->'indices')::int);
  v_items text[];
BEGIN
  IF v_indices <@ p_counted THEN
    PERFORM @.append(array_agg(p_pool.callbacks), array_agg(''::text),
      array_agg((c->>'count')::int), array_agg((c->>'bytes')::int), array_agg(0::bigint),
      array_agg(c->>'data'), p_now)
    FROM json_array_elements(p_callbacks->'chunks') AS c;
    RETURN;
  END IF;
  v_items := ARRAY(SELECT i FROM json_array_elements(p_callbacks->'chunks')
      WITH ORDINALITY AS c (chunk, n),
    unnest(string_to_array(c.chunk->>'data', E',\n')) WITH ORDINALITY AS i (i, m)
    ORDER BY c.n, i.m);
  PERFORM @.tell_callbacks(p_pool, ARRAY(
    SELECT v_items[i.n] FROM unnest(v_indices) WITH ORDINALITY AS i (index, n)
    WHERE i.index = ANY (p_counted) ORDER BY i.n), p_now);
END $$;

-- Settles some tasks of a slice. Returns how many are over, and which of those were cancelled.
CREATE FUNCTION @.settle_some(
  s @.slices, p_done int[], p_rest json, p_values text, p_now bigint,
  OUT freed int, OUT overruled int[]
) LANGUAGE plpgsql AS $$
DECLARE
  v_pool @.pools := @.pool(s.queue);
  v_held int[] := @.held(s.first_index, s.count, s.indices);
  v_gone int[] := ARRAY(SELECT c.index FROM @.cancels AS c WHERE c.slice = s.id
    ORDER BY c.index);
  v_live int[] := @.without(v_held, v_gone);
  v_done int[] := @.shared(p_done, v_live);
  v_values text := p_values;
  v_dead int[];
  v_errors text[];
  v_again int[];
  v_retried int[] := '{}';
  v_named int[] := p_done;
  a json;
BEGIN
  IF p_values IS NOT NULL AND v_done <> p_done THEN
    v_values := @.pick(p_values, ARRAY(SELECT (i.n - 1)::int
      FROM unnest(p_done) WITH ORDINALITY AS i (index, n)
      WHERE i.index = ANY (v_done) ORDER BY i.n));
  END IF;
  PERFORM @.keep_task_results(v_pool, s.chunk, v_done, 'success', v_values, NULL, p_now);
  PERFORM @.end_task_keys(s.chunk, v_done, p_now);
  SELECT coalesce(array_agg(d.index ORDER BY d.n), '{}'), array_agg(d.error ORDER BY d.n)
    INTO v_dead, v_errors
    FROM (SELECT (j->>'index')::int AS index, j->>'error' AS error, n
      FROM json_array_elements(p_rest->'dead') WITH ORDINALITY AS e (j, n)) AS d
    WHERE d.index = ANY (v_live);
  PERFORM @.bury_tasks(s, v_dead, v_errors, s.attempt, p_now);
  v_named := v_named || ARRAY(
    SELECT (j->>'index')::int FROM json_array_elements(p_rest->'dead') AS j);
  FOR a IN SELECT json_array_elements(p_rest->'again') LOOP
    v_again := ARRAY(SELECT json_array_elements_text(a->'indices')::int);
    v_named := v_named || v_again;
    v_again := @.shared(v_again, v_live);
    CONTINUE WHEN v_again = '{}';
    v_retried := v_retried || v_again;
    -- Its crash record is clean: the handler ended.
    INSERT INTO @.slices (queue, chunk, lane, key, priority, state, run_at, first_index, count,
        indices, attempt)
      VALUES (s.queue, s.chunk, s.lane, s.key, s.priority, 'delayed',
        p_now + (a->>'delayMs')::bigint, v_again[1], cardinality(v_again), @.listed(v_again),
        (a->>'attempt')::int);
  END LOOP;
  IF p_rest->>'callbacks' IS NOT NULL AND v_pool.callbacks IS NOT NULL THEN
    PERFORM @.tell_settled(v_pool, p_rest->'callbacks', v_done || v_dead || v_retried, p_now);
  END IF;
  overruled := @.shared(v_gone, v_named);
  DELETE FROM @.cancels WHERE slice = s.id AND index = ANY (overruled);
  freed := cardinality(v_done) + cardinality(v_dead) + cardinality(overruled);
  v_named := v_done || v_dead || overruled || v_retried;
  PERFORM @.leave_in_slice(s.id, @.without(v_held, v_named));
  IF s.key <> '' AND v_named <> '{}' THEN
    INSERT INTO @.key_news (queue, key) VALUES (s.queue, s.key);
  END IF;
END $$;

-- Settles slices of which each task succeeded, set by set. Returns what is to be freed.
CREATE FUNCTION @.settle_whole(p_slices bigint[], p_values text[], p_now bigint)
RETURNS @.freed[] LANGUAGE plpgsql AS $$
DECLARE
  v_freed @.freed[];
  v_any boolean := EXISTS (SELECT FROM unnest(p_values) AS v WHERE v IS NOT NULL);
  c record;
BEGIN
  FOR c IN SELECT s.chunk, s.first_index, s.count FROM @.slices AS s
    WHERE s.id = ANY (p_slices) AND EXISTS (SELECT FROM @.keys AS k WHERE k.chunk = s.chunk)
  LOOP
    PERFORM @.end_task_keys(c.chunk, @.held(c.first_index, c.count, NULL), p_now);
  END LOOP;
  WITH gone AS (
    DELETE FROM @.slices WHERE id = ANY (p_slices)
    RETURNING id, queue, key, chunk, first_index, count
  ), kept AS (
    INSERT INTO @.task_results (queue, chunk, first_index, count, kind, data, ended_at, expires_at)
    SELECT g.queue, g.chunk, g.first_index, g.count, 'success',
      CASE WHEN v_any THEN p_values[array_position(p_slices, g.id)] END, p_now,
      p_now + p.result_ttl_ms
    FROM gone AS g, LATERAL (SELECT * FROM @.pools AS t WHERE t.queue = g.queue OFFSET 0) AS p
    WHERE p.result_ttl_ms IS DISTINCT FROM 0
  ), news AS (
    INSERT INTO @.key_news (queue, key) SELECT DISTINCT g.queue, g.key FROM gone AS g
    WHERE g.key <> ''
  ) SELECT array_agg(ROW(g.chunk, g.count)::@.freed) INTO v_freed FROM gone AS g;
  RETURN v_freed;
END $$;

-- Settles those slices whose current lease has the token. What of a slice succeeded is a run
-- (p_firsts, p_counts) unless p_rests says otherwise. settled: position by position; overruled: the
-- tasks that had been cancelled.
CREATE FUNCTION @.settle_tasks(
  p_slices bigint[], p_tokens int[], p_firsts int[], p_counts int[], p_rests text[],
  p_values text[], p_now bigint, OUT settled boolean[], OUT overruled json[]
) LANGUAGE plpgsql AS $$
DECLARE
  s @.slices;
  v record;
  v_any boolean;
  v_whole bigint[] := '{}';
  v_whole_values text[] := '{}';
  v_others int[] := '{}';
  v_freed @.freed[] := '{}';
  v_rest json;
  v_done int[];
BEGIN
  PERFORM @.lock_slices(p_slices);
  v_any := EXISTS (SELECT FROM @.cancels);
  overruled := '{}';
  SELECT array_agg(o.id IS NOT NULL ORDER BY o.n),
      coalesce(array_agg(o.id) FILTER (WHERE o.whole), '{}'),
      array_agg(o.values) FILTER (WHERE o.whole),
      coalesce(array_agg(o.n) FILTER (WHERE o.id IS NOT NULL AND NOT o.whole), '{}')
    INTO settled, v_whole, v_whole_values, v_others
    FROM (
      SELECT i.n::int AS n, l.id, i.values, l.count = i.count AND l.first_index = i.first
        AND l.indices IS NULL AND i.rest IS NULL AND NOT (v_any AND EXISTS (
          SELECT FROM @.cancels AS c WHERE c.slice = i.id)) AS whole
      FROM unnest(p_slices, p_tokens, p_firsts, p_counts, p_rests, p_values) WITH ORDINALITY
          AS i (id, token, first, count, rest, values, n)
        LEFT JOIN LATERAL (SELECT * FROM @.slices AS t WHERE t.id = i.id AND t.state = 'leased'
          AND t.token = i.token OFFSET 0) AS l ON true
    ) AS o;
  IF v_whole <> '{}' THEN
    v_freed := @.settle_whole(v_whole, v_whole_values, p_now);
  END IF;
  FOR i IN 1 .. cardinality(v_others) LOOP
    SELECT * INTO s FROM @.slices AS t WHERE t.id = p_slices[v_others[i]];
    v_rest := coalesce(p_rests[v_others[i]], '{}')::json;
    v_done := CASE WHEN v_rest->>'done' IS NOT NULL
      THEN ARRAY(SELECT json_array_elements_text(v_rest->'done')::int)
      ELSE @.held(p_firsts[v_others[i]], p_counts[v_others[i]], NULL) END;
    v := @.settle_some(s, v_done, v_rest, p_values[v_others[i]], p_now);
    IF v.freed > 0 THEN
      v_freed := v_freed || ROW(s.chunk, v.freed)::@.freed;
    END IF;
    IF v.overruled <> '{}' THEN
      overruled := overruled || json_build_object('batch', s.id, 'token', s.token,
        'indices', v.overruled);
    END IF;
  END LOOP;
  PERFORM @.free_tasks(v_freed);
END $$;
`;
