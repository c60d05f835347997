/** Settles tasks, claims slices, says when to look again: one call, one transaction. */
import { STEADY_PLANS } from "./plans.ts";

export const POOL_EXCHANGE = String.raw`
-- True when a claim of the pool would find something to do.
CREATE FUNCTION @.tasks_wait(p_queue int, p_now bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  RETURN EXISTS (SELECT FROM @.inbox AS i WHERE i.queue = p_queue)
    OR EXISTS (SELECT FROM @.slices AS s WHERE s.queue = p_queue AND s.key = ''
      AND s.state = 'ready')
    OR EXISTS (SELECT FROM @.serial_keys AS k WHERE k.queue = p_queue AND k.open)
    OR EXISTS (SELECT FROM @.key_news AS n WHERE n.queue = p_queue)
    OR EXISTS (SELECT FROM @.slices AS s WHERE s.queue = p_queue AND s.state = 'delayed'
      AND s.run_at <= p_now);
END $$;

-- The same for what is ready.
CREATE FUNCTION @.tasks_ready(p_queue int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  RETURN EXISTS (SELECT FROM @.slices AS s WHERE s.queue = p_queue AND s.key = ''
      AND s.state = 'ready')
    OR EXISTS (SELECT FROM @.serial_keys AS k WHERE k.queue = p_queue AND k.open
      AND k.key <> '');
END $$;

-- What an exchange wants of one pool, and what it may have.
CREATE TYPE @.pool_turn AS (
  queue int, most bigint, bytes bigint, cap bigint, throttle json,
  -- What the parallelism leaves, and the throttle.
  places bigint, room bigint,
  taken bigint, is_full boolean, unseen boolean
);

-- Lets an exchange into its pools. They are entered in one order everywhere; nobody settles before.
CREATE FUNCTION @.enter_pools(p_claims json, p_idle boolean, p_at bigint) RETURNS @.pool_turn[]
LANGUAGE plpgsql AS $$
DECLARE
  c record;
  p @.pools;
  t @.pool_turn;
  v_turns @.pool_turn[] := '{}';
BEGIN
  FOR c IN SELECT * FROM json_to_recordset(p_claims) AS j (queue int, "limit" bigint,
      "maxBytes" bigint, "maxParallelism" bigint, "concurrencyPerKey" bigint, throttle json)
    ORDER BY j.queue
  LOOP
    p := @.pool(c.queue);
    IF NOT p_idle THEN
      PERFORM pg_advisory_xact_lock(@queues, c.queue);
      p := @.pool(c.queue);
    END IF;
    CONTINUE WHEN (SELECT q.paused FROM @.queues AS q WHERE q.id = c.queue);
    t := ROW(c.queue, c."limit", c."maxBytes", c."concurrencyPerKey", c.throttle,
      coalesce(p.parallelism, c."maxParallelism"), NULL, 0, false, false)::@.pool_turn;
    t.room := CASE WHEN c.throttle IS NULL THEN @.no_limit()
      WHEN p_idle THEN (SELECT r.room FROM @.throttle_room(c.queue, c.throttle,
        coalesce(p_at, @.now_ms())) AS r)
      ELSE @.begin_throttle(c.queue, c.throttle, p_at) END;
    v_turns := v_turns || t;
  END LOOP;
  RETURN v_turns;
END $$;

-- Rows of several kinds: 's' answers a settlement, 'k' names tasks that were cancelled, 'c' is a
-- claimed slice with its tasks, 'x' the rest of the answer, last.
CREATE FUNCTION @.exchange_tasks(
  p_incarnation bigint, p_slices bigint[], p_tokens int[], p_firsts int[], p_counts int[],
  p_rests text[], p_values text[], p_claims json, p_alone boolean, p_at bigint
) RETURNS TABLE (kind text, n bigint, ok boolean, meta text, data text) LANGUAGE plpgsql
${STEADY_PLANS} AS $$
DECLARE
  v_now bigint := coalesce(p_at, @.now_ms());
  v_alive boolean;
  v_idle boolean;
  v_turns @.pool_turn[] := '{}';
  t @.pool_turn;
  v_settled record;
  v_claimed bigint[] := '{}';
  v_suspects boolean := false;
  v_got record;
  v_frees_at bigint;
  v_at bigint;
  v_next_at bigint;
  v_more boolean := false;
  v_waiting boolean := false;
BEGIN
  PERFORM @.check_isolation();
  -- The reaper has it alone: nobody claims for an incarnation that is being declared dead.
  PERFORM pg_advisory_xact_lock_shared(@incarnations, p_incarnation::int);
  v_alive := EXISTS (SELECT FROM @.incarnations AS i WHERE i.id = p_incarnation);
  v_idle := cardinality(p_slices) = 0 AND NOT EXISTS (
    SELECT FROM json_to_recordset(p_claims) AS j (queue int)
    WHERE @.tasks_wait(j.queue, v_now)
      OR (p_alone AND @.suspect_task_waits(j.queue, @.no_limit())));
  IF v_alive THEN
    v_turns := @.enter_pools(p_claims, v_idle, p_at);
  END IF;
  IF NOT v_idle THEN
    v_now := coalesce(p_at, @.now_ms());
  END IF;
  IF v_alive AND cardinality(p_slices) > 0 THEN
    v_settled := @.settle_tasks(p_slices, p_tokens, p_firsts, p_counts, p_rests, p_values, v_now);
    RETURN QUERY SELECT 's', i.n, i.ok, NULL, NULL
      FROM unnest(v_settled.settled) WITH ORDINALITY AS i (ok, n) ORDER BY i.n;
    RETURN QUERY SELECT 'k', NULL::bigint, NULL::boolean, o::text, NULL
      FROM unnest(v_settled.overruled) AS o;
  ELSE
    RETURN QUERY SELECT 's', i.n, false, NULL, NULL
      FROM unnest(p_slices) WITH ORDINALITY AS i (id, n) ORDER BY i.n;
  END IF;
  FOR i IN 1 .. cardinality(v_turns) LOOP
    t := v_turns[i];
    IF NOT v_idle THEN
      t.unseen := @.take_in(t.queue, v_now);
    END IF;
    t.places := greatest(0, t.places - @.tasks_leased(t.queue));
    v_turns[i] := t;
  END LOOP;
  IF p_alone AND NOT v_idle THEN
    FOR i IN 1 .. cardinality(v_turns) LOOP
      t := v_turns[i];
      v_got := @.claim_suspects(t.queue, least(t.most, t.places, t.room), t.cap, p_incarnation);
      CONTINUE WHEN v_got.taken = 0;
      v_claimed := v_got.claimed;
      t.taken := v_got.taken;
      v_turns[i] := t;
      v_suspects := true;
      EXIT;
    END LOOP;
  END IF;
  FOR i IN 1 .. cardinality(v_turns) LOOP
    t := v_turns[i];
    IF NOT v_suspects AND NOT v_idle THEN
      v_got := @.claim_tasks(t.queue, least(t.most, t.places, t.room), t.bytes,
        v_claimed = '{}', t.cap, p_incarnation);
      v_claimed := v_claimed || v_got.claimed;
      t.taken := v_got.taken;
      t.is_full := v_got.is_full;
    END IF;
    v_frees_at := CASE WHEN t.throttle IS NOT NULL
      THEN @.note_delivered(t.queue, t.throttle, t.taken::int, v_now) END;
    v_at := (SELECT s.run_at FROM @.slices AS s WHERE s.queue = t.queue AND s.state = 'delayed'
      ORDER BY s.run_at LIMIT 1);
    IF t.places > t.taken AND t.room > t.taken THEN
      v_more := v_more OR t.unseen
        OR ((t.most <= t.taken OR t.is_full) AND @.tasks_ready(t.queue));
      v_waiting := v_waiting OR @.suspect_task_waits(t.queue, t.cap);
    END IF;
    v_next_at := least(v_next_at, CASE WHEN v_frees_at IS NULL THEN greatest(v_at, CASE
        WHEN v_at IS NOT NULL THEN v_now END)
      WHEN @.tasks_ready(t.queue) OR @.suspect_task_waits(t.queue, t.cap) THEN v_frees_at
      WHEN v_at IS NOT NULL THEN greatest(v_at, v_frees_at) END);
  END LOOP;
  RETURN QUERY SELECT 'k', NULL::bigint, NULL::boolean, json_build_object('batch', s.id,
      'token', s.token, 'indices', (SELECT json_agg(c.index ORDER BY c.index)
        FROM @.cancels AS c WHERE c.slice = s.id))::text, NULL
    FROM @.slices AS s WHERE s.state = 'leased' AND s.owner = p_incarnation
      AND EXISTS (SELECT FROM @.cancels)
      AND EXISTS (SELECT FROM @.cancels AS c WHERE c.slice = s.id);
  RETURN QUERY SELECT 'c', s.id, s.alone, json_build_object('token', s.token, 'queue', s.queue,
      'chunk', s.chunk, 'first', s.first_index, 'count', s.count, 'list', s.indices,
      'lane', s.lane, 'attempt', s.attempt, 'crashes', s.crashes)::text,
      CASE WHEN s.count = p.count THEN p.data
        WHEN s.indices IS NULL THEN @.slice(p.data, s.first_index, s.count)
        ELSE @.pick(p.data, s.indices) END
    FROM unnest(v_claimed) WITH ORDINALITY AS u (id, n),
      LATERAL (SELECT * FROM @.slices AS l WHERE l.id = u.id OFFSET 0) AS s,
      LATERAL (SELECT * FROM @.payloads AS l WHERE l.chunk = s.chunk OFFSET 0) AS p
    ORDER BY u.n;
  RETURN QUERY SELECT 'x', v_now, v_more, json_build_object('nextAt', v_next_at,
    'suspectWaiting', v_waiting)::text, NULL;
END $$;
`;
