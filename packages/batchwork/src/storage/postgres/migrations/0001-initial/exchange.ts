/** Settles what ended, claims what is due, says when to look again: one call, one transaction. */

export const EXCHANGE = String.raw`
-- The times at which groups are looked at were worked out with the caps of earlier claims, the
-- loosest of which the queue has kept.
CREATE FUNCTION @.is_tighter(
  q @.queues, p_max_size bigint, p_max_bytes bigint, p_concurrency bigint
) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
  SELECT p_max_size < q.max_size OR p_max_bytes < q.max_bytes
    OR p_concurrency > q.group_concurrency
$$;

-- Lets a claim into its queue. Claims share a queue; whoever flushes it, and a claim that makes
-- groups due by tighter caps, has it alone.
CREATE FUNCTION @.enter_queue(
  p_queue int, p_max_size bigint, p_max_bytes bigint, p_concurrency bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  q @.queues;
BEGIN
  SELECT * INTO q FROM @.queues WHERE id = p_queue;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'batchwork: no queue %', p_queue USING ERRCODE = 'BW002';
  END IF;
  IF NOT @.is_tighter(q, p_max_size, p_max_bytes, p_concurrency) THEN
    PERFORM pg_advisory_xact_lock_shared(@queues, p_queue);
    RETURN false;
  END IF;
  PERFORM pg_advisory_xact_lock(@queues, p_queue);
  RETURN true;
END $$;

-- Wakes the groups that are due for tighter caps. The caller has their rows and their queue alone.
CREATE FUNCTION @.adopt_caps(
  p_queue int, p_max_size bigint, p_max_bytes bigint, p_concurrency bigint, p_now bigint
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE @.groups AS g SET blocked = false
  WHERE g.queue = p_queue AND g.blocked AND g.active < p_concurrency;
  UPDATE @.groups AS g SET wake_at = p_now, turn = nextval('@.turns')
  WHERE g.queue = p_queue AND g.wake_at > p_now
    AND (g.items >= p_max_size OR g.bytes >= p_max_bytes);
END $$;

-- The suspect that has waited longest and may start, with its group locked.
CREATE FUNCTION @.claim_suspect(
  p_queues int[], p_concurrencies bigint[], p_owner bigint, p_now bigint
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  v_batch bigint;
  v_group bigint;
BEGIN
  SELECT b.id, g.id INTO v_batch, v_group
  FROM unnest(p_queues, p_concurrencies) AS q (queue, concurrency)
    JOIN @.batches AS b ON b.queue = q.queue AND b.state = 'ready' AND b.suspect
    JOIN @.groups AS g ON g.id = b.grp
  WHERE b.run_at <= p_now AND g.active < q.concurrency
  ORDER BY b.run_at, b.id LIMIT 1 FOR UPDATE OF g SKIP LOCKED;
  IF v_batch IS NULL THEN
    RETURN NULL;
  END IF;
  UPDATE @.batches SET state = 'leased', token = token + 1, owner = p_owner, claimed_at = p_now,
    alone = true, percent = NULL, note = NULL
  WHERE id = v_batch AND state = 'ready' AND suspect;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  UPDATE @.groups SET active = active + 1, turn = nextval('@.turns') WHERE id = v_group;
  RETURN v_batch;
END $$;

-- When something of these queues may be claimable that is not now; soon, where others hold what is.
CREATE FUNCTION @.next_look(
  p_queues int[], p_free boolean[], p_now bigint, OUT next_at bigint, OUT contended boolean
) LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
  v_queue int;
  v_free boolean;
BEGIN
  contended := false;
  FOR v_queue, v_free IN SELECT * FROM unnest(p_queues, p_free) LOOP
    next_at := least(next_at,
      (SELECT g.ready_at FROM @.groups AS g WHERE g.queue = v_queue AND g.ready_at > p_now
        AND NOT g.blocked ORDER BY g.ready_at LIMIT 1),
      (SELECT g.wake_at FROM @.groups AS g WHERE g.queue = v_queue AND g.wake_at > p_now
        AND NOT g.blocked ORDER BY g.wake_at LIMIT 1),
      (SELECT b.run_at FROM @.batches AS b WHERE b.queue = v_queue AND b.state = 'ready'
        AND b.suspect AND b.run_at > p_now ORDER BY b.run_at LIMIT 1));
    IF EXISTS (SELECT FROM @.inbox AS i WHERE i.queue = v_queue) OR (v_free AND (
      EXISTS (SELECT FROM @.groups AS g WHERE g.queue = v_queue AND g.ready_at <= p_now
        AND NOT g.blocked)
      OR EXISTS (SELECT FROM @.groups AS g WHERE g.queue = v_queue AND g.wake_at <= p_now
        AND NOT g.blocked))) THEN
      contended := contended OR v_free;
      next_at := least(next_at, p_now + 2);
    END IF;
  END LOOP;
END $$;

-- Waits for whoever has the first group with something to claim. Only for a transaction that holds
-- nothing that others wait for, or two could wait for each other. False where there is nobody.
CREATE FUNCTION @.wait_for_others(p_queues int[], p_free boolean[], p_now bigint)
RETURNS boolean LANGUAGE plpgsql
SET lock_timeout = '200ms' SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
  v_queue int;
  v_group bigint;
BEGIN
  FOR v_queue IN SELECT u.id FROM unnest(p_queues, p_free) AS u (id, free) WHERE u.free LOOP
    SELECT g.id INTO v_group FROM @.groups AS g
    WHERE g.queue = v_queue AND NOT g.blocked AND (g.ready_at <= p_now OR g.wake_at <= p_now
      OR EXISTS (SELECT FROM @.inbox AS i WHERE i.queue = v_queue AND i.grp = g.name))
    ORDER BY g.turn LIMIT 1;
    IF v_group IS NOT NULL THEN
      PERFORM FROM @.groups AS g WHERE g.id = v_group FOR UPDATE;
      RETURN true;
    END IF;
  END LOOP;
  RETURN false;
EXCEPTION WHEN lock_not_available THEN
  RETURN false;
END $$;

-- Rows of several kinds: 's' answers a settlement, 'b' is a claimed batch, 'm' one member of it
-- with its items, 'x' the rest of the answer, last.
CREATE FUNCTION @.exchange(
  p_incarnation bigint, p_batches bigint[], p_tokens int[], p_outcomes text[], p_claims json,
  p_alone boolean, p_at bigint
) RETURNS TABLE (kind text, n bigint, ok boolean, meta text, data text) LANGUAGE plpgsql AS $$
DECLARE
  c record;
  q @.queues;
  v_now bigint;
  v_alive boolean;
  v_adopt boolean;
  v_adopting int[] := '{}';
  v_ids int[] := '{}';
  v_limits bigint[] := '{}';
  v_free boolean[] := '{}';
  v_sizes bigint[] := '{}';
  v_bytes bigint[] := '{}';
  v_concurrencies bigint[] := '{}';
  v_claimed bigint[] := '{}';
  v_turn record;
  v_suspect bigint;
  v_more boolean := false;
  v_tries int := 0;
  v_next record;
BEGIN
  PERFORM @.check_isolation();
  -- The reaper has it alone: nobody claims for an incarnation that is being declared dead.
  PERFORM pg_advisory_xact_lock_shared(@incarnations, p_incarnation::int);
  v_alive := EXISTS (SELECT FROM @.incarnations AS i WHERE i.id = p_incarnation);
  FOR c IN SELECT * FROM json_to_recordset(p_claims) AS j (queue int, "maxSize" bigint,
      "maxBytes" bigint, "groupConcurrency" bigint, "limit" bigint) ORDER BY j.queue
  LOOP
    v_adopt := @.enter_queue(c.queue, c."maxSize", c."maxBytes", c."groupConcurrency");
    SELECT * INTO q FROM @.queues WHERE id = c.queue;
    CONTINUE WHEN q.paused OR NOT v_alive;
    IF v_adopt THEN
      v_adopting := v_adopting || c.queue;
    END IF;
    v_ids := v_ids || c.queue;
    v_limits := v_limits || c."limit";
    v_sizes := v_sizes || c."maxSize";
    v_bytes := v_bytes || c."maxBytes";
    v_concurrencies := v_concurrencies || c."groupConcurrency";
  END LOOP;
  IF cardinality(p_batches) > 0 OR v_adopting <> '{}' THEN
    PERFORM @.lock_groups(p_batches, v_adopting);
  END IF;
  v_now := coalesce(p_at, @.now_ms());
  FOR i IN 1 .. cardinality(p_batches) LOOP
    RETURN QUERY SELECT 's', i::bigint, CASE WHEN v_alive
      THEN @.settle(p_batches[i], p_tokens[i], p_outcomes[i]::json, v_now)
      ELSE EXISTS (SELECT FROM @.batches AS b
        WHERE b.id = p_batches[i] AND b.settled = p_tokens[i]) END, NULL, NULL;
  END LOOP;
  FOR i IN 1 .. cardinality(v_ids) LOOP
    IF v_ids[i] = ANY (v_adopting) THEN
      PERFORM @.adopt_caps(v_ids[i], v_sizes[i], v_bytes[i], v_concurrencies[i], v_now);
    END IF;
  END LOOP;
  LOOP
    FOR i IN 1 .. cardinality(v_ids) LOOP
      PERFORM @.count_inbox(v_ids[i], v_sizes[i], v_bytes[i], 5000, v_now);
    END LOOP;
    IF p_alone THEN
      v_suspect := @.claim_suspect(
        ARRAY(SELECT u.id FROM unnest(v_ids, v_limits) AS u (id, most) WHERE u.most > 0),
        ARRAY(SELECT u.cap FROM unnest(v_concurrencies, v_limits) AS u (cap, most)
          WHERE u.most > 0), p_incarnation, v_now);
    END IF;
    v_free := '{}';
    v_claimed := CASE WHEN v_suspect IS NULL THEN '{}' ELSE ARRAY[v_suspect] END;
    FOR i IN 1 .. cardinality(v_ids) LOOP
      v_turn := @.claim_queue(v_ids[i], CASE WHEN v_suspect IS NULL THEN v_limits[i] ELSE 0 END,
        v_sizes[i], v_bytes[i], v_concurrencies[i], p_incarnation, v_now);
      v_claimed := v_claimed || v_turn.claimed;
      v_more := v_more OR v_turn.more;
      v_free := v_free || (v_suspect IS NULL AND cardinality(v_turn.claimed) < v_limits[i]);
    END LOOP;
    -- Without an id of its own the transaction holds no row that anybody could wait for.
    EXIT WHEN v_tries >= 3 OR pg_current_xact_id_if_assigned() IS NOT NULL
      OR NOT @.wait_for_others(v_ids, v_free, v_now);
    v_tries := v_tries + 1;
  END LOOP;
  -- Looser caps are left behind only where something was written anyway, or two processes with
  -- different definitions would write at every look.
  IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
    UPDATE @.queues AS t SET max_size = u.size, max_bytes = u.bytes, group_concurrency = u.cap
    FROM unnest(v_ids, v_sizes, v_bytes, v_concurrencies) AS u (id, size, bytes, cap)
    WHERE t.id = u.id AND (t.max_size, t.max_bytes, t.group_concurrency)
      IS DISTINCT FROM (u.size, u.bytes, u.cap);
  END IF;
  RETURN QUERY SELECT 'b', b.id, b.alone, json_build_object('token', b.token,
      'queue', b.queue, 'group', g.name, 'attempt', b.attempt, 'count', b.count,
      'bytes', b.bytes, 'reason', b.reason, 'parent', b.parent, 'root', b.root,
      'sealedAt', b.sealed_at, 'left', g.items)::text, NULL
    FROM unnest(v_claimed) WITH ORDINALITY AS u (id, n)
      JOIN @.batches AS b ON b.id = u.id JOIN @.groups AS g ON g.id = b.grp ORDER BY u.n;
  RETURN QUERY SELECT 'm', m.batch, m.count = p.count,
      json_build_array(m.chunk, m.from_index, m.count, m.indices)::text,
      CASE WHEN m.count = p.count THEN p.data
        WHEN m.indices IS NULL THEN @.slice(p.data, m.from_index, m.count)
        ELSE @.pick(p.data, m.indices) END
    FROM unnest(v_claimed) WITH ORDINALITY AS u (id, n)
      JOIN @.members AS m ON m.batch = u.id JOIN @.payloads AS p ON p.chunk = m.chunk
    ORDER BY u.n, m.place;
  v_next := @.next_look(v_ids, v_free, v_now);
  RETURN QUERY SELECT 'x', v_now, v_more, json_build_object('nextAt', v_next.next_at,
    'contended', v_next.contended, 'suspectWaiting', EXISTS (
      SELECT FROM unnest(v_ids, v_concurrencies) AS u (id, cap)
        JOIN @.batches AS b ON b.queue = u.id AND b.state = 'ready' AND b.suspect
        JOIN @.groups AS g ON g.id = b.grp
      WHERE b.run_at <= v_now AND g.active < u.cap))::text, NULL;
END $$;
`;
