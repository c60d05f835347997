/** Claiming from one queue: whose turn it is, and what it gets. */

export const CLAIM = String.raw`
-- Works out when a claim has to look at the group again, and writes its row back.
CREATE FUNCTION @.save_group(
  p_group @.groups, p_max_size bigint, p_max_bytes bigint, p_concurrency bigint, p_now bigint
) RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
  v_due bigint;
BEGIN
  p_group.blocked := p_group.active >= p_concurrency;
  p_group.ready_at := NULL;
  IF p_group.ready > 0 THEN
    SELECT greatest(b.run_at, p_now) INTO p_group.ready_at FROM @.batches AS b
    WHERE b.grp = p_group.id AND b.state = 'ready' AND NOT b.suspect
    ORDER BY b.run_at, b.id LIMIT 1;
  END IF;
  IF p_group.items = 0 THEN
    p_group.wake_at := NULL;
  ELSIF p_group.items >= p_max_size OR p_group.bytes >= p_max_bytes
    OR p_group.head <= p_group.flush_to THEN
    p_group.wake_at := p_now;
  ELSE
    v_due := @.find_due_at(p_group);
    p_group.due_at := v_due;
    p_group.wake_at := greatest(v_due, p_now);
  END IF;
  UPDATE @.groups SET items = p_group.items, bytes = p_group.bytes, head = p_group.head,
    due_at = p_group.due_at, active = p_group.active, ready = p_group.ready,
    blocked = p_group.blocked, ready_at = p_group.ready_at, wake_at = p_group.wake_at,
    turn = p_group.turn
  WHERE id = p_group.id;
END $$;

-- Claims a retry of a group whose row this transaction has locked: NULL when none is claimable,
-- nothing but an answer when p_most is 0.
CREATE FUNCTION @.claim_retry(
  p_id bigint, p_most bigint, p_max_size bigint, p_max_bytes bigint, p_concurrency bigint,
  p_owner bigint, p_now bigint
) RETURNS bigint[] LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
  g @.groups;
  v_claimed bigint[] := '{}';
  v_batch bigint;
BEGIN
  SELECT * INTO g FROM @.groups WHERE id = p_id;
  IF g.active < p_concurrency THEN
    SELECT b.id INTO v_batch FROM @.batches AS b
    WHERE b.grp = g.id AND b.state = 'ready' AND NOT b.suspect AND b.run_at <= p_now
    ORDER BY b.run_at, b.id LIMIT 1;
  END IF;
  IF v_batch IS NOT NULL AND p_most = 0 THEN
    RETURN v_claimed;
  END IF;
  WHILE v_batch IS NOT NULL LOOP
    UPDATE @.batches SET state = 'leased', token = token + 1, owner = p_owner,
      claimed_at = p_now, alone = false, percent = NULL, note = NULL WHERE id = v_batch;
    v_claimed := v_claimed || v_batch;
    g.ready := g.ready - 1;
    g.active := g.active + 1;
    g.turn := nextval('@.turns');
    v_batch := NULL;
    IF cardinality(v_claimed) < p_most AND g.active < p_concurrency THEN
      SELECT b.id INTO v_batch FROM @.batches AS b
      WHERE b.grp = g.id AND b.state = 'ready' AND NOT b.suspect AND b.run_at <= p_now
      ORDER BY b.run_at, b.id LIMIT 1;
    END IF;
  END LOOP;
  PERFORM @.save_group(g, p_max_size, p_max_bytes, p_concurrency, p_now);
  RETURN CASE WHEN v_claimed = '{}' THEN NULL ELSE v_claimed END;
END $$;

-- The same with batches that are sealed for it.
CREATE FUNCTION @.claim_waiting(
  p_id bigint, p_most bigint, p_max_size bigint, p_max_bytes bigint, p_concurrency bigint,
  p_owner bigint, p_now bigint
) RETURNS bigint[] LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
  g @.groups;
  v_claimed bigint[] := '{}';
  v_reason text;
  v_due bigint;
  v_sealed record;
BEGIN
  SELECT * INTO g FROM @.groups WHERE id = p_id;
  LOOP
    EXIT WHEN g.active >= p_concurrency;
    -- The time does not matter to what is due anyway, so a backlog is never searched for it.
    v_due := CASE WHEN g.items >= p_max_size OR g.bytes >= p_max_bytes
      OR g.head <= g.flush_to OR g.items = 0 THEN NULL ELSE @.find_due_at(g) END;
    g.due_at := coalesce(v_due, g.due_at);
    v_reason := @.due_reason(g.items, g.bytes, g.head <= g.flush_to, v_due,
      p_max_size, p_max_bytes, p_now);
    EXIT WHEN v_reason IS NULL;
    IF p_most = 0 THEN
      RETURN v_claimed;
    END IF;
    v_sealed := @.seal(g, v_reason, p_max_size, p_max_bytes, p_owner, p_now);
    g := v_sealed.p_group;
    EXIT WHEN v_sealed.batch IS NULL;
    v_claimed := v_claimed || v_sealed.batch;
    g.active := g.active + 1;
    g.turn := nextval('@.turns');
    EXIT WHEN cardinality(v_claimed) >= p_most;
  END LOOP;
  PERFORM @.save_group(g, p_max_size, p_max_bytes, p_concurrency, p_now);
  RETURN CASE WHEN v_claimed = '{}' THEN NULL ELSE v_claimed END;
END $$;

-- The first groups in line, locked: p_retry says in which. Those that others have are passed over.
CREATE FUNCTION @.next_groups(p_queue int, p_retry boolean, p_most bigint, p_now bigint)
RETURNS bigint[] LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
BEGIN
  IF p_retry THEN
    RETURN ARRAY(SELECT g.id FROM @.groups AS g
      WHERE g.queue = p_queue AND g.ready_at <= p_now AND NOT g.blocked
      ORDER BY g.ready_at, g.turn LIMIT p_most FOR UPDATE SKIP LOCKED);
  END IF;
  RETURN ARRAY(SELECT g.id FROM @.groups AS g
    WHERE g.queue = p_queue AND g.wake_at <= p_now AND NOT g.blocked
    ORDER BY g.wake_at, g.turn LIMIT p_most FOR UPDATE SKIP LOCKED);
END $$;

-- Claims up to p_limit batches. more: there would have been one beyond it.
CREATE FUNCTION @.claim_queue(
  p_queue int, p_limit bigint, p_max_size bigint, p_max_bytes bigint, p_concurrency bigint,
  p_owner bigint, p_now bigint, OUT claimed bigint[], OUT more boolean
) LANGUAGE plpgsql AS $$
DECLARE
  v_retry boolean;
  v_round bigint[];
  v_next bigint[];
  v_all boolean;
  v_id bigint;
  v_got bigint[];
  v_most bigint;
BEGIN
  claimed := '{}';
  more := false;
  FOREACH v_retry IN ARRAY ARRAY[true, false] LOOP
    WHILE cardinality(claimed) < p_limit LOOP
      v_round := @.next_groups(p_queue, v_retry, p_limit - cardinality(claimed), p_now);
      v_all := cardinality(v_round) < p_limit - cardinality(claimed);
      LOOP
        v_next := '{}';
        -- Nobody to take turns with.
        v_most := CASE WHEN v_all AND cardinality(v_round) = 1
          THEN p_limit - cardinality(claimed) ELSE 1 END;
        FOREACH v_id IN ARRAY v_round LOOP
          EXIT WHEN cardinality(claimed) >= p_limit;
          IF v_retry THEN
            v_got := @.claim_retry(v_id, v_most, p_max_size, p_max_bytes, p_concurrency, p_owner,
              p_now);
          ELSE
            v_got := @.claim_waiting(v_id, v_most, p_max_size, p_max_bytes, p_concurrency,
              p_owner, p_now);
          END IF;
          IF v_got IS NOT NULL THEN
            v_next := v_next || v_id;
            claimed := claimed || v_got;
          END IF;
        END LOOP;
        EXIT WHEN NOT v_all OR v_next = '{}' OR v_most > 1 OR cardinality(claimed) >= p_limit;
        v_round := v_next;
      END LOOP;
      EXIT WHEN v_all;
    END LOOP;
  END LOOP;
  IF cardinality(claimed) < p_limit THEN
    RETURN;
  END IF;
  FOREACH v_retry IN ARRAY ARRAY[true, false] LOOP
    LOOP
      v_round := @.next_groups(p_queue, v_retry, 1, p_now);
      EXIT WHEN v_round = '{}' OR more;
      IF v_retry THEN
        v_got := @.claim_retry(v_round[1], 0, p_max_size, p_max_bytes, p_concurrency, p_owner,
          p_now);
      ELSE
        v_got := @.claim_waiting(v_round[1], 0, p_max_size, p_max_bytes, p_concurrency, p_owner,
          p_now);
      END IF;
      more := v_got IS NOT NULL;
    END LOOP;
  END LOOP;
END $$;
`;
