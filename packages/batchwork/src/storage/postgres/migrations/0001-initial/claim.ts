/** Claiming from one queue: whose turn it is, and what it gets. */

export const CLAIM = String.raw`
-- How callers say that there is no limit.
CREATE FUNCTION @.no_limit() RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT 9007199254740991 $$;

-- When a claim has to look: what is due already keeps its place in line, unless it goes back.
CREATE FUNCTION @.look_at(p_old bigint, p_due bigint, p_back boolean, p_now bigint)
RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN NOT p_back AND p_old <= p_now AND p_due <= p_now THEN p_old
    ELSE @.not_before(p_due, p_now) END
$$;

-- Works out when a claim has to look at the group again, not before p_from, and writes its state.
-- p_back: it had its turn and goes to the end of the line. So does a row that gets a new key, or
-- the old ones would be in the way of whoever looks who is first.
CREATE FUNCTION @.save_group(
  g @.group_states, p_back boolean, p_max_size bigint, p_max_bytes bigint, p_from bigint
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_due bigint;
  v_new boolean := g.writes >= 64;
  v_back boolean := p_back OR v_new;
BEGIN
  IF g.retry_from IS NOT NULL THEN
    SELECT b.run_at INTO g.retry_from FROM @.batches AS b
    WHERE b.grp = g.grp AND b.state = 'ready' AND NOT b.suspect AND b.run_at >= g.retry_from
    ORDER BY b.run_at, b.id LIMIT 1;
  END IF;
  IF g.items >= p_max_size OR g.bytes >= p_max_bytes
    OR (g.items > 0 AND g.head <= g.flush_to) THEN
    v_due := p_from;
  ELSIF g.items > 0 THEN
    g.due_at := @.find_due_at(g);
    v_due := g.due_at;
  END IF;
  UPDATE @.group_states SET version = version + v_new::int,
    writes = CASE WHEN v_new THEN 0 ELSE writes + 1 END,
    items = g.items, bytes = g.bytes, head = g.head, due_at = g.due_at,
    oldest = g.oldest, blocked = g.blocked, retry_from = g.retry_from,
    ready_at = @.look_at(g.ready_at, g.retry_from, v_back, p_from),
    wake_at = @.look_at(g.wake_at, v_due, v_back, p_from),
    turn = CASE WHEN v_back THEN nextval('@.turns') ELSE g.turn END
  WHERE grp = g.grp AND version = g.version;
END $$;

-- Leases batches of the group that wait for another attempt, at most p_most.
CREATE FUNCTION @.lease_retries(
  g @.group_states, p_most bigint, p_tells boolean, p_owner bigint, p_now bigint
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
  v_ids bigint[] := ARRAY(SELECT b.id FROM @.batches AS b
    WHERE b.grp = g.grp AND b.state = 'ready' AND NOT b.suspect
      AND b.run_at >= g.retry_from AND b.run_at <= p_now
    ORDER BY b.run_at, b.id LIMIT p_most);
BEGIN
  UPDATE @.batches SET state = 'leased', token = token + 1, owner = p_owner, claimed_at = p_now,
    tells = p_tells, alone = false, percent = NULL, note = NULL
  WHERE id = ANY (v_ids);
  RETURN v_ids;
END $$;

-- A turn of a group that this transaction has locked: claims up to p_most batches, retries or new
-- ones. p_back: others are in line, too.
CREATE FUNCTION @.claim_turn(
  p_id bigint, p_retry boolean, p_back boolean, p_most bigint, p_max_size bigint,
  p_max_bytes bigint, p_concurrency bigint, p_owner bigint, p_now bigint
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
  g @.group_states;
  v_limited boolean := p_concurrency < @.no_limit();
  v_back boolean;
  v_active bigint := 0;
  v_told boolean := true;
  v_most bigint;
  v_claimed bigint[] := '{}';
  v_sealed record;
BEGIN
  SELECT * INTO g FROM @.group_states WHERE grp = p_id ORDER BY version DESC LIMIT 1;
  IF v_limited AND g.oldest IS NOT NULL THEN
    SELECT count(*), coalesce(bool_and(b.tells), true), min(b.id)
      INTO v_active, v_told, g.oldest FROM @.batches AS b
    WHERE b.grp = g.grp AND b.state = 'leased' AND b.id >= g.oldest;
  END IF;
  v_most := least(p_most, p_concurrency - v_active);
  IF p_retry AND v_most > 0 THEN
    v_claimed := @.lease_retries(g, v_most, v_limited, p_owner, p_now);
  END IF;
  WHILE NOT p_retry AND cardinality(v_claimed) < v_most LOOP
    v_sealed := @.seal(g, v_most - cardinality(v_claimed), p_max_size, p_max_bytes, v_limited,
      p_owner, p_now);
    g := v_sealed.p_group;
    EXIT WHEN v_sealed.batches IS NULL;
    v_claimed := v_claimed || v_sealed.batches;
  END LOOP;
  IF p_retry THEN
    g.oldest := least(g.oldest, (SELECT min(id) FROM unnest(v_claimed) AS id));
  ELSE
    -- New ids ascend.
    g.oldest := least(g.oldest, v_claimed[1]);
  END IF;
  v_back := p_back OR g.blocked;
  g.blocked := v_active + cardinality(v_claimed) >= p_concurrency;
  IF g.blocked AND NOT v_told THEN
    -- One that was claimed under no limit ends without a word.
    g.blocked := false;
    PERFORM @.save_group(g, true, p_max_size, p_max_bytes, p_now + 1000);
  ELSE
    PERFORM @.save_group(g, v_back, p_max_size, p_max_bytes, p_now);
  END IF;
  RETURN v_claimed;
END $$;

-- The first groups in line: p_retry says in which, p_from where it begins.
CREATE FUNCTION @.groups_in_line(
  p_queue int, p_retry boolean, p_from bigint, p_most bigint, p_now bigint
) RETURNS SETOF bigint LANGUAGE plpgsql AS $$
BEGIN
  IF p_retry THEN
    RETURN QUERY SELECT s.grp FROM @.group_states AS s
      WHERE s.queue = p_queue AND s.ready_at >= p_from AND s.ready_at <= p_now AND NOT s.blocked
      ORDER BY s.ready_at, s.turn LIMIT p_most;
  ELSE
    RETURN QUERY SELECT s.grp FROM @.group_states AS s
      WHERE s.queue = p_queue AND s.wake_at >= p_from AND s.wake_at <= p_now AND NOT s.blocked
      ORDER BY s.wake_at, s.turn LIMIT p_most;
  END IF;
END $$;

-- True when so many are in line.
CREATE FUNCTION @.has_in_line(
  p_queue int, p_retry boolean, p_from bigint, p_many bigint, p_now bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  IF p_retry THEN
    RETURN EXISTS (SELECT FROM @.group_states AS s
      WHERE s.queue = p_queue AND s.ready_at >= p_from AND s.ready_at <= p_now AND NOT s.blocked
      ORDER BY s.ready_at OFFSET p_many - 1);
  END IF;
  RETURN EXISTS (SELECT FROM @.group_states AS s
    WHERE s.queue = p_queue AND s.wake_at >= p_from AND s.wake_at <= p_now AND NOT s.blocked
    ORDER BY s.wake_at OFFSET p_many - 1);
END $$;

-- The first groups in line, locked; those that others have are passed over.
CREATE FUNCTION @.lock_next_groups(
  p_queue int, p_retry boolean, p_from bigint, p_most bigint, p_now bigint
) RETURNS bigint[] LANGUAGE plpgsql AS $$
BEGIN
  IF p_retry THEN
    RETURN ARRAY(SELECT g.id FROM @.group_states AS s JOIN @.groups AS g ON g.id = s.grp
      WHERE s.queue = p_queue AND s.ready_at >= p_from AND s.ready_at <= p_now AND NOT s.blocked
      ORDER BY s.ready_at, s.turn LIMIT p_most FOR UPDATE OF g SKIP LOCKED);
  END IF;
  RETURN ARRAY(SELECT g.id FROM @.group_states AS s JOIN @.groups AS g ON g.id = s.grp
    WHERE s.queue = p_queue AND s.wake_at >= p_from AND s.wake_at <= p_now AND NOT s.blocked
    ORDER BY s.wake_at, s.turn LIMIT p_most FOR UPDATE OF g SKIP LOCKED);
END $$;

-- Claims up to p_limit batches.
CREATE FUNCTION @.claim_queue(
  p_queue int, p_marks @.marks, p_limit bigint, p_max_size bigint, p_max_bytes bigint,
  p_concurrency bigint, p_owner bigint, p_now bigint
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
  v_claimed bigint[] := '{}';
  v_retry boolean;
  v_from bigint;
  v_back boolean;
  v_round bigint[];
  v_next bigint[];
  v_all boolean;
  v_id bigint;
  v_got bigint[];
BEGIN
  FOREACH v_retry IN ARRAY ARRAY[true, false] LOOP
    v_from := CASE WHEN v_retry THEN p_marks.ready_at ELSE p_marks.wake_at END;
    v_back := NULL;
    WHILE cardinality(v_claimed) < p_limit LOOP
      v_round := @.lock_next_groups(p_queue, v_retry, v_from, p_limit - cardinality(v_claimed),
        p_now);
      EXIT WHEN v_round = '{}';
      v_back := coalesce(v_back, cardinality(v_round) > 1
        OR @.has_in_line(p_queue, v_retry, v_from, 2, p_now));
      v_all := cardinality(v_round) < p_limit - cardinality(v_claimed);
      LOOP
        v_next := '{}';
        FOREACH v_id IN ARRAY v_round LOOP
          EXIT WHEN cardinality(v_claimed) >= p_limit;
          v_got := @.claim_turn(v_id, v_retry, v_back,
            -- Nobody to take turns with.
            CASE WHEN v_all AND cardinality(v_round) = 1
              THEN p_limit - cardinality(v_claimed) ELSE 1 END,
            p_max_size, p_max_bytes, p_concurrency, p_owner, p_now);
          IF v_got <> '{}' THEN
            v_next := v_next || v_id;
            v_claimed := v_claimed || v_got;
          END IF;
        END LOOP;
        EXIT WHEN NOT v_all OR v_next = '{}' OR cardinality(v_round) = 1
          OR cardinality(v_claimed) >= p_limit;
        v_round := v_next;
      END LOOP;
      EXIT WHEN v_all;
    END LOOP;
  END LOOP;
  RETURN v_claimed;
END $$;
`;
