/** Settles what ended, claims what is due, says when to look again: one call, one transaction. */
import { STEADY_PLANS } from "./plans.ts";

export const EXCHANGE = String.raw`
-- The suspect that has waited longest and may start, with its group locked.
CREATE FUNCTION @.claim_suspect(
  p_queues int[], p_concurrencies bigint[], p_owner bigint, p_now bigint
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  c record;
BEGIN
  FOR c IN SELECT b.id, b.grp, q.concurrency
    FROM unnest(p_queues, p_concurrencies) AS q (queue, concurrency)
      JOIN @.batches AS b ON b.queue = q.queue AND b.state = 'ready' AND b.suspect
    WHERE b.run_at <= p_now ORDER BY b.run_at, b.id
  LOOP
    PERFORM FROM @.groups AS g WHERE g.id = c.grp FOR UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND OR @.leased_in(c.grp) >= c.concurrency;
    UPDATE @.batches SET state = 'leased', token = token + 1, owner = p_owner,
      claimed_at = p_now, tells = c.concurrency < @.no_limit(), alone = true, percent = NULL,
      note = NULL
    WHERE id = c.id AND state = 'ready' AND suspect;
    IF FOUND THEN
      UPDATE @.group_states SET oldest = least(oldest, c.id)
      WHERE grp = c.grp AND version = (
        SELECT max(v.version) FROM @.group_states AS v WHERE v.grp = c.grp);
      RETURN c.id;
    END IF;
  END LOOP;
  RETURN NULL;
END $$;

-- Waits for whoever has the first group with something to claim. A transaction of its own: who
-- waits holds nothing, or two could wait for each other.
CREATE FUNCTION @.wait_for_others(p_queues int[], p_at bigint) RETURNS void LANGUAGE plpgsql
${STEADY_PLANS} SET lock_timeout = '200ms' AS $$
DECLARE
  v_now bigint := coalesce(p_at, @.now_ms());
  v_queue int;
  v_group bigint;
BEGIN
  FOREACH v_queue IN ARRAY p_queues LOOP
    v_group := coalesce(
      (SELECT g FROM @.groups_in_line(v_queue, true, 0, 1, v_now) AS g),
      (SELECT g FROM @.groups_in_line(v_queue, false, 0, 1, v_now) AS g),
      (SELECT g.id FROM @.inbox AS i JOIN @.groups AS g ON g.queue = v_queue AND g.name = i.grp
        WHERE i.queue = v_queue ORDER BY i.chunk LIMIT 1));
    IF v_group IS NOT NULL THEN
      PERFORM FROM @.groups AS g WHERE g.id = v_group FOR UPDATE;
      RETURN;
    END IF;
  END LOOP;
EXCEPTION WHEN lock_not_available THEN
  RETURN;
END $$;

-- Rows of several kinds: 's' answers a settlement, 'b' is a claimed batch, 'm' one member of it
-- with its items, 'x' the rest of the answer, last.
CREATE FUNCTION @.exchange(
  p_incarnation bigint, p_batches bigint[], p_tokens int[], p_outcomes text[], p_claims json,
  p_alone boolean, p_at bigint
) RETURNS TABLE (kind text, n bigint, ok boolean, meta text, data text) LANGUAGE plpgsql
-- No payload is read twice, so keeping them is work for nothing.
${STEADY_PLANS} SET enable_memoize = off AS $$
DECLARE
  c record;
  q @.queues;
  v_before bigint;
  v_last bigint;
  v_now bigint;
  v_alive boolean;
  v_adopt boolean;
  v_adopting int[] := '{}';
  v_ids int[] := '{}';
  v_limits bigint[] := '{}';
  v_sizes bigint[] := '{}';
  v_bytes bigint[] := '{}';
  v_concurrencies bigint[] := '{}';
  v_throttles json[] := '{}';
  -- How many batches the throttle of each queue leaves; NULL where it has none.
  v_rooms bigint[] := '{}';
  -- The concurrencies as far as they concern suspects: 0 where the throttle leaves nothing.
  v_caps bigint[] := '{}';
  v_marks @.marks[] := '{}';
  v_ended @.ended[] := '{}';
  v_claimed bigint[] := '{}';
  v_turn bigint[];
  v_look record;
  v_suspect bigint;
  v_idle boolean;
  v_free boolean;
  v_frees_at bigint;
  v_full boolean;
  v_loosens boolean := false;
  v_more boolean := false;
  v_contended boolean := false;
  v_next_at bigint;
BEGIN
  -- The reaper has it alone: nobody claims for an incarnation that is being declared dead.
  PERFORM @.check_isolation(), pg_advisory_xact_lock_shared(@incarnations, p_incarnation::int);
  v_alive := EXISTS (SELECT FROM @.incarnations AS i WHERE i.id = p_incarnation);
  v_before := coalesce(p_at, @.now_ms());
  FOR c IN SELECT * FROM json_to_recordset(p_claims) AS j (queue int, "maxSize" bigint,
      "maxBytes" bigint, "groupConcurrency" bigint, "limit" bigint, throttle json,
      marks json) ORDER BY j.queue
  LOOP
    v_adopt := @.enter_queue(c.queue, c."maxSize", c."maxBytes", c."groupConcurrency",
      c.throttle IS NOT NULL);
    SELECT * INTO q FROM @.queues WHERE id = c.queue;
    CONTINUE WHEN q.paused OR NOT v_alive;
    IF v_adopt THEN
      v_adopting := v_adopting || c.queue;
    END IF;
    v_ids := v_ids || c.queue;
    v_throttles := array_append(v_throttles, c.throttle);
    v_rooms := array_append(v_rooms, CASE WHEN c.throttle IS NOT NULL
      THEN @.begin_throttle(c.queue, c.throttle, p_at) END);
    v_caps := v_caps || CASE WHEN v_rooms[cardinality(v_rooms)] = 0 THEN 0
      ELSE c."groupConcurrency" END;
    v_limits := v_limits || least(c."limit", v_rooms[cardinality(v_rooms)]);
    v_sizes := v_sizes || c."maxSize";
    v_bytes := v_bytes || c."maxBytes";
    v_concurrencies := v_concurrencies || c."groupConcurrency";
    v_marks := array_append(v_marks, @.begin_marks(c.marks, v_before));
    v_loosens := v_loosens OR (q.max_size, q.max_bytes, q.group_concurrency)
      IS DISTINCT FROM (c."maxSize", c."maxBytes", c."groupConcurrency");
  END LOOP;
  -- Notes for the marks: the transaction id comes after them, and the time after that.
  v_last := @.mark();
  v_now := v_before;
  -- Who finds nothing to do needs no transaction id, and nobody looks where nothing is.
  v_idle := cardinality(p_batches) = 0 AND v_adopting = '{}';
  IF v_idle THEN
    v_idle := NOT (p_alone AND @.suspect_waits(v_ids, v_caps, v_now))
      AND NOT EXISTS (SELECT FROM unnest(v_ids) WITH ORDINALITY AS u (id, n),
        LATERAL @.look(u.id, v_marks[u.n], v_last, v_before, v_now) AS l WHERE l.due);
  END IF;
  IF NOT v_idle THEN
    PERFORM pg_current_xact_id();
    v_now := coalesce(p_at, @.now_ms());
  END IF;
  IF v_alive AND cardinality(p_batches) > 0 THEN
    v_ended := @.settle(p_batches, p_tokens, p_outcomes, v_now);
    -- A queue that is not claimed from here hears of it from its next claim.
    IF v_ended <> '{}' THEN
      PERFORM @.tell_ended(ARRAY(
        SELECT e FROM unnest(v_ended) AS e WHERE e.queue <> ALL (v_ids)));
    END IF;
  END IF;
  RETURN QUERY SELECT 's', u.n, EXISTS (SELECT FROM @.batches AS b
      WHERE b.id = u.id AND b.settled = u.token), NULL, NULL
    FROM unnest(p_batches, p_tokens) WITH ORDINALITY AS u (id, token, n) ORDER BY u.n;
  FOR i IN 1 .. cardinality(v_ids) LOOP
    EXIT WHEN v_idle;
    IF v_ids[i] = ANY (v_adopting) THEN
      PERFORM @.adopt_caps(v_ids[i], v_sizes[i], v_bytes[i], v_concurrencies[i], v_now);
    END IF;
    PERFORM @.count_inbox(v_ids[i], v_marks[i].chunk,
      ARRAY(SELECT e FROM unnest(v_ended) AS e WHERE e.queue = v_ids[i]),
      v_sizes[i], v_bytes[i], 5000, v_now);
  END LOOP;
  IF p_alone AND NOT v_idle THEN
    v_suspect := @.claim_suspect(
      ARRAY(SELECT u.id FROM unnest(v_ids, v_limits) AS u (id, most) WHERE u.most > 0),
      ARRAY(SELECT u.cap FROM unnest(v_concurrencies, v_limits) AS u (cap, most)
        WHERE u.most > 0), p_incarnation, v_now);
    v_claimed := array_remove(ARRAY[v_suspect], NULL);
  END IF;
  FOR i IN 1 .. cardinality(v_ids) LOOP
    v_free := v_suspect IS NULL AND v_limits[i] > 0;
    v_full := false;
    IF NOT v_idle THEN
      v_turn := @.claim_queue(v_ids[i], v_marks[i],
        CASE WHEN v_suspect IS NULL THEN v_limits[i] ELSE 0 END,
        v_sizes[i], v_bytes[i], v_concurrencies[i], p_incarnation, v_now);
      v_claimed := v_claimed || v_turn;
      v_full := v_suspect IS NOT NULL OR cardinality(v_turn) >= v_limits[i];
      v_free := v_free AND cardinality(v_turn) < v_limits[i];
    END IF;
    v_frees_at := NULL;
    IF v_rooms[i] IS NOT NULL THEN
      v_frees_at := @.note_deliveries(v_ids[i], v_throttles[i], v_claimed, v_now);
      v_caps[i] := CASE WHEN v_frees_at IS NULL THEN v_concurrencies[i] ELSE 0 END;
    END IF;
    v_look := @.look(v_ids[i], v_marks[i], v_last, v_before, v_now);
    v_more := v_more OR (v_full AND v_look.in_line AND v_frees_at IS NULL);
    v_marks[i] := v_look.marks;
    -- What is still there is there for others.
    v_contended := v_contended OR (v_free AND v_look.due);
    v_next_at := least(v_next_at, CASE
      WHEN v_frees_at IS NOT NULL THEN @.throttled_look(v_frees_at, v_look.due OR
        @.suspect_waits(v_ids[i:i], v_concurrencies[i:i], v_now), v_look.next_at)
      WHEN NOT v_look.due THEN v_look.next_at
      WHEN v_free THEN v_now + 2 END);
  END LOOP;
  -- Looser caps are left behind only where something was written anyway, or two processes with
  -- different definitions would write at every look.
  IF v_loosens AND (v_claimed <> '{}' OR cardinality(p_batches) > 0) THEN
    UPDATE @.queues AS t SET max_size = u.size, max_bytes = u.bytes, group_concurrency = u.cap
    FROM unnest(v_ids, v_sizes, v_bytes, v_concurrencies) AS u (id, size, bytes, cap)
    WHERE t.id = u.id AND (t.max_size, t.max_bytes, t.group_concurrency)
      IS DISTINCT FROM (u.size, u.bytes, u.cap);
  END IF;
  RETURN QUERY SELECT 'b', b.id, b.alone, json_build_object('token', b.token,
      'queue', b.queue, 'group', g.name, 'attempt', b.attempt, 'count', b.count,
      'bytes', b.bytes, 'reason', b.reason, 'parent', b.parent, 'root', b.root,
      'sealedAt', b.sealed_at, 'prepared', b.prepared,
      'left', (SELECT s.items FROM @.group_states AS s
        WHERE s.grp = b.grp ORDER BY s.version DESC LIMIT 1))::text, NULL
    FROM unnest(v_claimed) WITH ORDINALITY AS u (id, n),
      LATERAL (SELECT * FROM @.batches AS t WHERE t.id = u.id OFFSET 0) AS b,
      LATERAL (SELECT t.name FROM @.groups AS t WHERE t.id = b.grp OFFSET 0) AS g ORDER BY u.n;
  RETURN QUERY SELECT 'm', m.batch, m.count = p.count,
      json_build_array(m.chunk, m.from_index, m.count, m.indices, m.ids)::text,
      CASE WHEN m.count = p.count THEN p.data
        WHEN m.indices IS NULL THEN @.slice(p.data, m.from_index, m.count)
        ELSE @.pick(p.data, m.indices) END
    FROM unnest(v_claimed) WITH ORDINALITY AS u (id, n),
      LATERAL (SELECT * FROM @.members AS t WHERE t.batch = u.id OFFSET 0) AS m,
      LATERAL (SELECT * FROM @.payloads AS t WHERE t.chunk = m.chunk OFFSET 0) AS p
    ORDER BY u.n, m.place;
  RETURN QUERY SELECT 'x', v_now, v_more, json_build_object('nextAt', v_next_at,
    'contended', v_contended, 'suspectWaiting', @.suspect_waits(v_ids, v_caps, v_now),
    'marks', (SELECT json_object_agg(u.id, m) FROM unnest(v_ids) WITH ORDINALITY AS u (id, n)
      JOIN LATERAL (SELECT (v_marks[u.n]).*) AS m ON true))::text, NULL;
END $$;
`;
