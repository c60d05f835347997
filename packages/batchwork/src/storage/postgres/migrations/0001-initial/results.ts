/** What became of single items. */

export const RESULTS = String.raw`
-- Inserted by what ends items that were submitted; never updated.
CREATE TABLE @.results (
  chunk bigint NOT NULL,
  idx int NOT NULL,
  queue int NOT NULL,
  kind text NOT NULL,
  value text,
  error text,
  ended_at bigint NOT NULL,
  -- Until when it is kept; NULL for ever.
  expires_at bigint,
  PRIMARY KEY (chunk, idx)
);
CREATE INDEX results_expired ON @.results (expires_at) WHERE expires_at IS NOT NULL;

-- Of two for the same item the first one stays.
CREATE FUNCTION @.keep_results(p_queue int, p_results json, p_now bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO @.results (chunk, idx, queue, kind, value, error, ended_at, expires_at)
    SELECT split_part(r.value->>'id', ':', 1)::bigint, split_part(r.value->>'id', ':', 2)::int,
      p_queue, r.value->>'kind', r.value->>'value', r.value->>'error', p_now,
      p_now + (r.value->>'ttlMs')::bigint
    FROM json_array_elements(p_results) AS r
  ON CONFLICT (chunk, idx) DO NOTHING;
END $$;

CREATE FUNCTION @.find_results(p_queue int, p_chunks bigint[], p_indices int[], p_at bigint)
RETURNS TABLE (kind text, value text, error text, "endedAt" bigint, pending boolean)
LANGUAGE plpgsql SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  v_now bigint := coalesce(p_at, @.now_ms());
BEGIN
  -- One statement, so one state: an item that ends meanwhile is never unknown.
  RETURN QUERY SELECT r.kind, r.value, r.error, r.ended_at, CASE WHEN r.kind IS NULL THEN
      EXISTS (SELECT FROM @.payloads AS p WHERE p.chunk = i.chunk AND p.count > i.index)
      OR EXISTS (SELECT FROM (
          -- One part for each partial index.
          SELECT l.id, l.queue, l.prepared FROM @.batches AS l WHERE l.state = 'leased'
          UNION ALL SELECT y.id, y.queue, y.prepared FROM @.batches AS y
            WHERE y.state = 'ready' AND NOT y.suspect
          UNION ALL SELECT s.id, s.queue, s.prepared FROM @.batches AS s
            WHERE s.state = 'ready' AND s.suspect) AS b
        JOIN @.members AS m ON m.batch = b.id
        WHERE b.queue = p_queue AND b.prepared AND i.chunk || ':' || i.index = ANY (m.ids))
      END
    FROM unnest(p_chunks, p_indices) WITH ORDINALITY AS i (chunk, index, n)
      LEFT JOIN @.results AS r ON r.chunk = i.chunk AND r.idx = i.index AND r.queue = p_queue
        AND (r.expires_at IS NULL OR r.expires_at > v_now)
    ORDER BY i.n;
END $$;

-- Deletes results that are past their time, at most p_most.
CREATE FUNCTION @.forget_results(p_now bigint, p_most int) RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
  DELETE FROM @.results AS r USING (
    SELECT e.chunk, e.idx FROM @.results AS e WHERE e.expires_at <= p_now
    ORDER BY e.expires_at LIMIT p_most FOR UPDATE SKIP LOCKED) AS e
  WHERE r.chunk = e.chunk AND r.idx = e.idx;
END $$;
`;
