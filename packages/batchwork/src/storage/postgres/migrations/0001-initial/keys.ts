/** Idempotency keys: appending with them, and what becomes of them with their items. */

export const KEYS = String.raw`
-- Written by appends with keys, by settlements of items that have one, and by what becomes of dead
-- letters.
CREATE TABLE @.keys (
  queue int NOT NULL,
  key text COLLATE "C" NOT NULL,
  -- The item that holds the key.
  chunk bigint NOT NULL,
  idx int NOT NULL,
  -- Of the item's content.
  digest text NOT NULL,
  -- How long it is held after its item ended; NULL for ever.
  ttl_ms bigint,
  -- When it is held no longer; NULL until its item ended.
  expires_at bigint,
  PRIMARY KEY (queue, key)
);
CREATE INDEX keys_item ON @.keys (chunk, idx);
CREATE INDEX keys_expired ON @.keys (expires_at) WHERE expires_at IS NOT NULL;

-- Of each item: whether it is new, or where the item is that holds its key.
CREATE FUNCTION @.find_keys(p_queues int[], p_keys text[], p_digests text[], p_now bigint)
RETURNS TABLE (n bigint, kind text, chunk bigint, idx int) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
  RETURN QUERY SELECT i.n, CASE WHEN k.chunk IS NULL THEN 'new' WHEN k.digest = i.digest THEN 'held'
      ELSE 'conflict' END, k.chunk, k.idx
    FROM unnest(p_queues, p_keys, p_digests) WITH ORDINALITY AS i (queue, key, digest, n)
      LEFT JOIN @.keys AS k ON k.queue = i.queue AND k.key = i.key
        AND (k.expires_at IS NULL OR k.expires_at > p_now);
END $$;

-- Appends what is new; an item's header is the place of its queue, group and so on in those arrays.
-- Keys are inserted in one order everywhere, so two appends wait for each other in one direction.
CREATE FUNCTION @.store_keyed(
  p_queues int[], p_groups text[], p_delays bigint[], p_ttls bigint[],
  p_calls int[], p_headers int[], p_keys text[], p_digests text[], p_bytes int[], p_data text[],
  p_at bigint
) RETURNS TABLE (kind text, chunk bigint, idx int, at bigint) LANGUAGE plpgsql AS $$
DECLARE
  v_now bigint;
  v_kinds text[];
  v_chunks bigint[];
  v_places int[];
  v_bad int[];
  v_new int;
  v_held int;
  h record;
BEGIN
  LOOP
    v_now := coalesce(p_at, @.now_ms());
    SELECT array_agg(f.kind ORDER BY f.n), array_agg(f.chunk ORDER BY f.n),
        array_agg(f.idx ORDER BY f.n)
      INTO v_kinds, v_chunks, v_places
      FROM @.find_keys(ARRAY(SELECT p_queues[i.header] FROM unnest(p_headers) WITH ORDINALITY
        AS i (header, n) ORDER BY i.n), p_keys, p_digests, v_now) AS f;
    v_bad := ARRAY(SELECT DISTINCT i.call FROM unnest(p_calls, v_kinds) AS i (call, kind)
      WHERE i.kind = 'conflict');
    -- The places of what is stored; of what is not, those of the items that hold the keys.
    SELECT array_agg(i.kind ORDER BY i.n), array_agg(i.place ORDER BY i.n),
        count(*) FILTER (WHERE i.kind = 'new' AND i.key IS NOT NULL)
      INTO v_kinds, v_places, v_new
      FROM (
        SELECT o.n, o.key, o.kind, CASE WHEN o.kind = 'new'
          THEN row_number() OVER (PARTITION BY o.header, o.kind ORDER BY o.n) - 1
          ELSE o.place END AS place
        FROM (
          SELECT i.n, i.key, i.header, i.place, CASE WHEN i.kind = 'new' AND i.call = ANY (v_bad)
            THEN 'refused' ELSE i.kind END AS kind
          FROM unnest(p_calls, p_headers, p_keys, v_kinds, v_places) WITH ORDINALITY
            AS i (call, header, key, kind, place, n)
        ) AS o
      ) AS i;
    IF NOT 'new' = ANY (v_kinds) THEN
      RETURN QUERY SELECT i.*, v_now FROM unnest(v_kinds, v_chunks, v_places) AS i;
      RETURN;
    END IF;
    BEGIN
      SELECT array_agg(c.header ORDER BY c.header) AS headers,
          array_agg(c.count ORDER BY c.header) AS counts,
          array_agg(c.bytes ORDER BY c.header) AS bytes,
          array_agg(c.data ORDER BY c.header) AS data
        INTO h
        FROM (
          SELECT i.header, count(*)::int AS count, sum(i.bytes)::int AS bytes,
            string_agg(i.data, E',\n' ORDER BY i.n) AS data
          FROM unnest(p_headers, p_bytes, p_data, v_kinds) WITH ORDINALITY
            AS i (header, bytes, data, kind, n)
          WHERE i.kind = 'new' GROUP BY i.header
        ) AS c;
      SELECT array_agg(coalesce(i.chunk, a.id) ORDER BY i.n) INTO v_chunks
        FROM unnest(p_headers, v_kinds, v_chunks) WITH ORDINALITY AS i (header, kind, chunk, n)
          LEFT JOIN (
            SELECT u.header, d.id FROM unnest(h.headers) WITH ORDINALITY AS u (header, n)
              JOIN @.append(
                ARRAY(SELECT p_queues[u.header] FROM unnest(h.headers) AS u (header)),
                ARRAY(SELECT p_groups[u.header] FROM unnest(h.headers) AS u (header)),
                h.counts, h.bytes,
                ARRAY(SELECT p_delays[u.header] FROM unnest(h.headers) AS u (header)),
                h.data, v_now
              ) WITH ORDINALITY AS d (id, due_at, n) ON d.n = u.n
          ) AS a ON a.header = i.header AND i.kind = 'new';
      INSERT INTO @.keys AS k (queue, key, chunk, idx, digest, ttl_ms)
        SELECT p_queues[i.header], i.key, i.chunk, i.place, i.digest, p_ttls[i.header]
        FROM unnest(p_headers, p_keys, p_digests, v_kinds, v_chunks, v_places)
          AS i (header, key, digest, kind, chunk, place)
        WHERE i.kind = 'new' AND i.key IS NOT NULL
        ORDER BY 1, i.key COLLATE "C"
        ON CONFLICT (queue, key) DO UPDATE SET chunk = excluded.chunk, idx = excluded.idx,
          digest = excluded.digest, ttl_ms = excluded.ttl_ms, expires_at = NULL
        WHERE k.expires_at <= v_now;
      GET DIAGNOSTICS v_held = ROW_COUNT;
      IF v_held < v_new THEN
        RAISE EXCEPTION 'batchwork: a key was taken' USING ERRCODE = 'BW004';
      END IF;
      RETURN QUERY SELECT i.*, v_now FROM unnest(v_kinds, v_chunks, v_places) AS i;
      RETURN;
    EXCEPTION WHEN SQLSTATE 'BW004' THEN
      -- Somebody else was first, and has committed: look again.
      NULL;
    END;
  END LOOP;
END $$;

-- A commit of its own. Whoever has used one of the keys and is still at it is hardly waited for:
-- then nothing is stored, and the only row says so.
CREATE FUNCTION @.append_keyed(
  p_queues int[], p_groups text[], p_delays bigint[], p_ttls bigint[],
  p_calls int[], p_headers int[], p_keys text[], p_digests text[], p_bytes int[], p_data text[],
  p_at bigint
) RETURNS TABLE (kind text, chunk bigint, idx int, at bigint) LANGUAGE plpgsql
SET lock_timeout = '20ms' AS $$
BEGIN
  PERFORM @.check_isolation();
  RETURN QUERY SELECT * FROM @.store_keyed(p_queues, p_groups, p_delays, p_ttls, p_calls, p_headers,
    p_keys, p_digests, p_bytes, p_data, p_at);
  PERFORM @.forget_keys(coalesce(p_at, @.now_ms()), 2 * cardinality(p_keys));
EXCEPTION WHEN lock_not_available THEN
  RETURN QUERY SELECT 'busy', NULL::bigint, NULL::int, NULL::bigint;
END $$;

-- The same inside a transaction of the caller's: refuses another database, and waits.
CREATE FUNCTION @.append_keyed_within(
  p_database uuid, p_queues int[], p_groups text[], p_delays bigint[], p_ttls bigint[],
  p_calls int[], p_headers int[], p_keys text[], p_digests text[], p_bytes int[], p_data text[],
  p_at bigint
) RETURNS TABLE (kind text, chunk bigint, idx int, at bigint) LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM @.meta AS m WHERE m.id = p_database) THEN
    RAISE EXCEPTION 'batchwork: another database' USING ERRCODE = 'BW001';
  END IF;
  RETURN QUERY SELECT * FROM @.store_keyed(p_queues, p_groups, p_delays, p_ttls, p_calls, p_headers,
    p_keys, p_digests, p_bytes, p_data, p_at);
END $$;

-- Batches are settled: their items ended, except those at the positions p_kept of a single batch,
-- which go on or are dead. To be called while the batches still have their members.
CREATE FUNCTION @.end_keys(p_batches bigint[], p_kept int[], p_now bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  v_chunks bigint[];
  v_moved boolean;
BEGIN
  SELECT array_agg(m.chunk), bool_or(m.ids IS NOT NULL) INTO v_chunks, v_moved
  FROM @.members AS m WHERE m.batch = ANY (p_batches);
  IF v_moved THEN
    UPDATE @.keys AS k SET expires_at = p_now + k.ttl_ms
    FROM unnest(p_batches) AS b (id), @.batch_items(b.id) AS i
    WHERE k.chunk = split_part(i.id, ':', 1)::bigint AND k.idx = split_part(i.id, ':', 2)::int
      AND i.place <> ALL (p_kept);
  END IF;
  IF NOT EXISTS (SELECT FROM @.keys AS k WHERE k.chunk = ANY (v_chunks)) THEN
    RETURN;
  END IF;
  IF p_kept = '{}' THEN
    UPDATE @.keys AS k SET expires_at = p_now + k.ttl_ms
    FROM @.members AS m
    WHERE m.batch = ANY (p_batches) AND k.chunk = m.chunk AND CASE WHEN m.indices IS NULL
      THEN k.idx >= m.from_index AND k.idx < m.from_index + m.count
      ELSE k.idx = ANY (m.indices) END;
  ELSE
    UPDATE @.keys AS k SET expires_at = p_now + k.ttl_ms
    FROM @.batch_items(p_batches[1]) AS i
    WHERE k.chunk = i.chunk AND k.idx = i.index AND i.place <> ALL (p_kept);
  END IF;
END $$;

-- Dead letters were put back at other places.
CREATE FUNCTION @.move_keys(p_items text[], p_chunks bigint[], p_places int[])
RETURNS void LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
  UPDATE @.keys AS k SET chunk = m.chunk, idx = m.place
  FROM unnest(p_items, p_chunks, p_places) AS m (item, chunk, place)
  WHERE k.chunk = split_part(m.item, ':', 1)::bigint AND k.idx = split_part(m.item, ':', 2)::int;
END $$;

-- Dead letters are discarded: their items ended. NULL for all. Returns how many.
CREATE FUNCTION @.discard(p_queue int, p_ids bigint[], p_at bigint) RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  v_now bigint := coalesce(p_at, @.now_ms());
  v_count bigint;
BEGIN
  WITH gone AS (
    DELETE FROM @.dead AS d WHERE d.queue = p_queue AND (p_ids IS NULL OR d.id = ANY (p_ids))
    RETURNING d.item_id
  ), ended AS (
    UPDATE @.keys AS k SET expires_at = v_now + k.ttl_ms FROM gone AS g
    WHERE k.chunk = split_part(g.item_id, ':', 1)::bigint
      AND k.idx = split_part(g.item_id, ':', 2)::int
  ) SELECT count(*) INTO v_count FROM gone;
  RETURN v_count;
END $$;

-- Deletes keys that are held no longer, at most p_most.
CREATE FUNCTION @.forget_keys(p_now bigint, p_most int) RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
  DELETE FROM @.keys AS k USING (
    SELECT e.queue, e.key FROM @.keys AS e WHERE e.expires_at <= p_now
    ORDER BY e.expires_at LIMIT p_most FOR UPDATE SKIP LOCKED) AS e
  WHERE k.queue = e.queue AND k.key = e.key;
END $$;
`;
