/** Leaving out items of a group whose key another one of it holds. */

export const DEDUP = String.raw`
-- Keys of items that wait in their group. Written by whoever has the group: chunks with keys wait
-- in the inbox, and which of their items are duplicates is decided when they are counted.
CREATE TABLE @.dedup_keys (
  grp bigint NOT NULL,
  key text COLLATE "C" NOT NULL,
  chunk bigint NOT NULL,
  idx int NOT NULL,
  PRIMARY KEY (grp, key)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_cost_delay = 0, vacuum_truncate = false);
CREATE INDEX dedup_keys_item ON @.dedup_keys (chunk, idx);

-- Of these chunks in the inbox, whose groups the caller has: has the items of those with keys hold
-- them, and puts what is not left out where items wait. The headers stay, to be counted, and say
-- how much that is; of a chunk of which nothing is left, nothing stays.
CREATE FUNCTION @.hold_dedup_keys(p_queue int, p_chunks bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  i @.inbox;
  v_group bigint;
  v_kept int;
  v_items text[];
BEGIN
  FOR i IN SELECT * FROM @.inbox AS t
    WHERE t.queue = p_queue AND t.chunk = ANY (p_chunks) AND t.keys IS NOT NULL ORDER BY t.chunk
  LOOP
    SELECT g.id INTO v_group FROM @.groups AS g WHERE g.queue = p_queue AND g.name = i.grp;
    INSERT INTO @.dedup_keys (grp, key, chunk, idx)
      SELECT v_group, k.key, i.chunk, k.n - 1
      FROM unnest(i.keys) WITH ORDINALITY AS k (key, n) ORDER BY k.n
      ON CONFLICT (grp, key) DO NOTHING;
    GET DIAGNOSTICS v_kept = ROW_COUNT;
    IF v_kept = i.count THEN
      INSERT INTO @.waiting (grp, chunk, from_index, count, bytes, due_at, dedup)
      VALUES (v_group, i.chunk, 0, i.count, i.bytes, i.due_at, true);
      CONTINUE;
    END IF;
    IF v_kept = 0 THEN
      DELETE FROM @.inbox AS t WHERE t.queue = p_queue AND t.chunk = i.chunk;
      DELETE FROM @.payloads AS p WHERE p.chunk = i.chunk;
      CONTINUE;
    END IF;
    v_items := (SELECT string_to_array(p.data, E',\n') FROM @.payloads AS p
      WHERE p.chunk = i.chunk);
    -- A row for each run of neighbours.
    INSERT INTO @.waiting (grp, chunk, from_index, count, bytes, due_at, dedup)
      SELECT v_group, i.chunk, min(k.idx), count(*), sum(octet_length(v_items[k.idx + 1])),
        i.due_at, true
      FROM (SELECT d.idx, d.idx - row_number() OVER (ORDER BY d.idx) AS run
        FROM @.dedup_keys AS d WHERE d.chunk = i.chunk) AS k
      GROUP BY k.run;
    UPDATE @.payloads AS p SET live = v_kept WHERE p.chunk = i.chunk;
    UPDATE @.inbox AS t SET count = v_kept, bytes = (
      SELECT sum(w.bytes) FROM @.waiting AS w WHERE w.grp = v_group AND w.chunk = i.chunk)
    WHERE t.queue = p_queue AND t.chunk = i.chunk;
  END LOOP;
END $$;

-- Items are sealed: runs of chunks, as three arrays.
CREATE FUNCTION @.release_dedup_keys(p_chunks bigint[], p_from int[], p_counts int[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  FOR n IN 1 .. cardinality(p_chunks) LOOP
    DELETE FROM @.dedup_keys AS d WHERE d.chunk = p_chunks[n] AND d.idx >= p_from[n]
      AND d.idx < p_from[n] + p_counts[n];
  END LOOP;
END $$;

-- How many items in the inbox will be left out.
CREATE FUNCTION @.duplicates_in_inbox(p_queue int, p_group text) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (SELECT count(*) - count(DISTINCT (i.grp, k.key)) FILTER (WHERE NOT EXISTS (
      SELECT FROM @.groups AS g JOIN @.dedup_keys AS d ON d.grp = g.id
      WHERE g.queue = p_queue AND g.name = i.grp AND d.key = k.key))
    FROM @.inbox AS i, unnest(i.keys) AS k (key)
    WHERE i.queue = p_queue AND (p_group IS NULL OR i.grp = p_group));
END $$;
`;
