/** Claiming from a pool that this transaction has alone: whose turn it is, and what it gets. */

export const POOL_CLAIM = String.raw`
-- Has claims look at a key. Who is in line already keeps the place.
CREATE FUNCTION @.open_key(p_queue int, p_key text, p_priority bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO @.serial_keys AS k (queue, key, priority, turn, open)
    VALUES (p_queue, p_key, p_priority, nextval('@.turns'), true)
  ON CONFLICT (queue, key) DO UPDATE SET priority = least(k.priority, excluded.priority),
    turn = CASE WHEN k.open THEN k.turn ELSE excluded.turn END, open = true
  WHERE NOT k.open OR k.priority > excluded.priority;
END $$;

-- Makes slices of new chunks, readies delayed tasks whose time has come, and hears the news. True
-- when there may be more of it.
CREATE FUNCTION @.take_in(p_queue int, p_now bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  v_most int := 5000;
  v_chunks bigint[];
  v_delayed bigint[];
  v_keys text[];
  k record;
BEGIN
  v_chunks := ARRAY(SELECT i.chunk FROM @.inbox AS i WHERE i.queue = p_queue
    ORDER BY i.chunk LIMIT v_most);
  IF v_chunks <> '{}' THEN
    WITH gone AS (
      DELETE FROM @.inbox AS i WHERE i.queue = p_queue AND i.chunk >= v_chunks[1]
        AND i.chunk <= v_chunks[cardinality(v_chunks)] AND i.chunk = ANY (v_chunks)
      RETURNING i.chunk, i.grp, i.count, i.due_at
    ), made AS (
      INSERT INTO @.slices (queue, chunk, lane, key, priority, state, run_at, first_index, count)
      SELECT p_queue, g.chunk, g.grp, substr(g.grp, strpos(g.grp, ':') + 1),
        coalesce(substring(g.grp FROM '^(-?\d{1,18}):')::bigint, 0),
        CASE WHEN g.due_at > p_now THEN 'delayed' ELSE 'ready' END, g.due_at, 0, g.count
      FROM gone AS g
      RETURNING key, priority, state
    ) SELECT array_agg(DISTINCT m.key) INTO v_keys FROM made AS m
      WHERE m.key <> '' AND m.state = 'ready';
  END IF;
  v_delayed := ARRAY(SELECT s.id FROM @.slices AS s
    WHERE s.queue = p_queue AND s.state = 'delayed' AND s.run_at <= p_now
    ORDER BY s.run_at LIMIT v_most);
  IF v_delayed <> '{}' THEN
    UPDATE @.slices SET state = 'ready' WHERE id = ANY (v_delayed);
    v_keys := v_keys || ARRAY(SELECT s.key FROM @.slices AS s
      WHERE s.id = ANY (v_delayed) AND s.key <> '');
  END IF;
  WITH heard AS (
    DELETE FROM @.key_news WHERE id = ANY (ARRAY(
      SELECT n.id FROM @.key_news AS n WHERE n.queue = p_queue LIMIT v_most))
    RETURNING key
  ) SELECT v_keys || coalesce(array_agg(h.key), '{}') INTO v_keys FROM heard AS h;
  FOR k IN SELECT DISTINCT u.key FROM unnest(v_keys) AS u (key) WHERE u.key <> '' LOOP
    PERFORM @.open_key(p_queue, k.key, f.priority)
    FROM (SELECT s.priority FROM @.slices AS s
      WHERE s.queue = p_queue AND s.key = k.key AND s.state = 'ready'
      ORDER BY s.priority LIMIT 1) AS f;
  END LOOP;
  RETURN cardinality(v_chunks) = v_most OR cardinality(v_delayed) = v_most;
END $$;

-- How many of the first p_most tasks of a slice have room, at least one where p_empty.
CREATE FUNCTION @.fit_tasks(s @.slices, p_most int, p_room bigint, p_empty boolean) RETURNS int
LANGUAGE plpgsql AS $$
DECLARE
  v_items text[];
  v_held int[];
  v_total bigint := 0;
BEGIN
  SELECT string_to_array(p.data, E',\n') INTO v_items FROM @.payloads AS p
    WHERE p.chunk = s.chunk;
  v_held := @.held(s.first_index, s.count, s.indices);
  FOR n IN 1 .. p_most LOOP
    v_total := v_total + octet_length(v_items[v_held[n] + 1]);
    IF v_total > p_room AND NOT (p_empty AND n = 1) THEN
      RETURN n - 1;
    END IF;
  END LOOP;
  RETURN p_most;
END $$;

-- Leases the first p_most tasks of a slice. Returns the slice that has them.
CREATE FUNCTION @.take_tasks(s @.slices, p_most int, p_owner bigint, p_alone boolean)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  v_held int[];
  v_id bigint;
BEGIN
  IF p_most = s.count THEN
    UPDATE @.slices SET state = 'leased', token = token + 1, owner = p_owner, alone = p_alone
    WHERE id = s.id;
    RETURN s.id;
  END IF;
  v_held := @.held(s.first_index, s.count, s.indices);
  INSERT INTO @.slices (queue, chunk, lane, key, priority, state, run_at, first_index, count,
      indices, attempt, token, owner, alone, company, crashes)
    VALUES (s.queue, s.chunk, s.lane, s.key, s.priority, 'leased', s.run_at, v_held[1], p_most,
      @.listed(v_held[: p_most]), s.attempt, 1, p_owner, p_alone, s.company, s.crashes)
    RETURNING id INTO v_id;
  PERFORM @.leave_in_slice(s.id, v_held[p_most + 1 :]);
  RETURN v_id;
END $$;

-- The bytes of the tasks of leased slices.
CREATE FUNCTION @.task_bytes(p_slices bigint[]) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  RETURN (SELECT coalesce(sum(CASE WHEN s.count = p.count THEN octet_length(p.data)
      WHEN s.indices IS NULL THEN octet_length(@.slice(p.data, s.first_index, s.count))
      ELSE octet_length(@.pick(p.data, s.indices)) END - 2 * (s.count - 1)), 0)
    FROM @.slices AS s, LATERAL (SELECT * FROM @.payloads AS t WHERE t.chunk = s.chunk OFFSET 0)
      AS p WHERE s.id = ANY (p_slices));
END $$;

-- Leases up to p_most tasks of a key, all of one priority. taken: how many; room: the bytes left.
CREATE FUNCTION @.claim_key(
  p_queue int, p_key text, p_priority bigint, p_most bigint, p_room bigint, p_empty boolean,
  p_owner bigint, OUT claimed bigint[], OUT taken bigint, OUT room bigint, OUT is_full boolean
) LANGUAGE plpgsql AS $$
DECLARE
  v_bytes boolean := p_room < @.no_limit();
  v_ids bigint[];
  v_count bigint;
  s @.slices;
  p record;
  v_fit int;
  v_id bigint;
BEGIN
  claimed := '{}';
  taken := 0;
  room := p_room;
  is_full := false;
  WHILE taken < p_most AND NOT is_full LOOP
    -- As many as can be leased as they are, at once.
    v_count := NULL;
    IF p_most - taken > 1 THEN
      SELECT array_agg(f.id), sum(f.count) INTO v_ids, v_count FROM (
        SELECT o.id, o.count, sum(o.count) OVER w AS total, sum(o.bytes) OVER w AS bytes FROM (
          SELECT t.id, t.count, t.run_at, t.chunk, t.first_index, CASE WHEN v_bytes THEN (
            SELECT octet_length(d.data) FROM @.payloads AS d WHERE d.chunk = t.chunk)
            ELSE 0 END AS bytes
          FROM @.slices AS t
          WHERE t.queue = p_queue AND t.key = p_key AND t.priority = p_priority
            AND t.state = 'ready'
          ORDER BY t.run_at, t.chunk, t.first_index LIMIT p_most - taken) AS o
        WINDOW w AS (ORDER BY o.run_at, o.chunk, o.first_index)) AS f
      WHERE f.total <= p_most - taken AND f.bytes <= room;
      IF v_count > 0 THEN
        UPDATE @.slices SET state = 'leased', token = token + 1, owner = p_owner, alone = false
        WHERE id = ANY (v_ids);
        claimed := claimed || v_ids;
        taken := taken + v_count;
        IF v_bytes THEN
          room := room - @.task_bytes(v_ids);
        END IF;
      END IF;
    END IF;
    -- Then what has to be cut.
    EXIT WHEN taken >= p_most;
    SELECT * INTO s FROM @.slices AS t
      WHERE t.queue = p_queue AND t.key = p_key AND t.priority = p_priority AND t.state = 'ready'
      ORDER BY t.run_at, t.chunk, t.first_index LIMIT 1;
    EXIT WHEN NOT FOUND;
    v_fit := least(s.count, p_most - taken);
    IF v_bytes THEN
      SELECT octet_length(d.data) AS length, d.count INTO p FROM @.payloads AS d
        WHERE d.chunk = s.chunk;
      IF p.length > room THEN
        v_count := v_fit;
        v_fit := @.fit_tasks(s, v_fit, room, p_empty AND taken = 0);
        is_full := v_fit < v_count;
      END IF;
    END IF;
    EXIT WHEN v_fit = 0;
    v_id := @.take_tasks(s, v_fit, p_owner, false);
    claimed := claimed || v_id;
    taken := taken + v_fit;
    IF v_bytes THEN
      room := room - CASE WHEN v_fit = p.count THEN p.length ELSE @.task_bytes(ARRAY[v_id]) END;
    END IF;
  END LOOP;
END $$;

-- Leases up to p_most tasks. No key has more than p_cap at a time.
CREATE FUNCTION @.claim_tasks(
  p_queue int, p_most bigint, p_room bigint, p_empty boolean, p_cap bigint, p_owner bigint,
  OUT claimed bigint[], OUT taken bigint, OUT is_full boolean
) LANGUAGE plpgsql AS $$
DECLARE
  v_free bigint;
  v_keyed bigint;
  v_top bigint;
  v_keys text[];
  v_key text;
  v_share bigint;
  v_running bigint;
  v_most bigint;
  v_next bigint;
  v_room bigint := p_room;
  c record;
BEGIN
  claimed := '{}';
  taken := 0;
  is_full := false;
  WHILE taken < p_most AND NOT is_full LOOP
    v_free := (SELECT s.priority FROM @.slices AS s
      WHERE s.queue = p_queue AND s.key = '' AND s.state = 'ready' ORDER BY s.priority LIMIT 1);
    v_keyed := (SELECT k.priority FROM @.serial_keys AS k
      WHERE k.queue = p_queue AND k.open AND k.key <> '' ORDER BY k.priority, k.turn LIMIT 1);
    v_top := least(v_free, v_keyed);
    EXIT WHEN v_top IS NULL;
    IF v_keyed IS NULL OR v_free < v_keyed THEN
      v_keys := ARRAY[''];
    ELSE
      -- Those without a key take turns as one more key.
      IF v_free = v_top THEN
        PERFORM @.open_key(p_queue, '', v_free);
      END IF;
      v_keys := ARRAY(SELECT k.key FROM @.serial_keys AS k
        WHERE k.queue = p_queue AND k.open AND k.priority = v_top
        ORDER BY k.turn LIMIT least(p_most - taken, 256));
    END IF;
    v_share := greatest(1, (p_most - taken) / cardinality(v_keys));
    FOREACH v_key IN ARRAY v_keys LOOP
      EXIT WHEN taken >= p_most OR is_full;
      v_running := CASE WHEN v_key = '' THEN 0 ELSE @.tasks_leased(p_queue, v_key) END;
      v_most := least(v_share, p_most - taken,
        CASE WHEN v_key = '' THEN v_share ELSE p_cap - v_running END);
      c := @.claim_key(p_queue, v_key, v_top, v_most, v_room, p_empty AND taken = 0, p_owner);
      claimed := claimed || c.claimed;
      taken := taken + c.taken;
      v_room := c.room;
      is_full := c.is_full;
      CONTINUE WHEN v_key = '' AND v_keyed IS NULL;
      v_next := (SELECT s.priority FROM @.slices AS s
        WHERE s.queue = p_queue AND s.key = v_key AND s.state = 'ready'
        ORDER BY s.priority LIMIT 1);
      -- What blocks the key ends: that is news.
      UPDATE @.serial_keys SET turn = nextval('@.turns'), priority = coalesce(v_next, priority),
        open = v_next IS NOT NULL AND (v_key = '' OR v_running + c.taken < p_cap)
      WHERE queue = p_queue AND key = v_key;
    END LOOP;
  END LOOP;
END $$;
`;
