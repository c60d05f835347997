/** What `beforeFlush` made of a batch takes the place of its items. */

export const PREPARATION = String.raw`
-- p_counts: of each part, NULL to leave the items as they are; p_ids: of all items, '' for new
-- ones. Returns the members of the batch from now on; none when the lease is lost.
CREATE FUNCTION @.prepare_batch(
  p_batch bigint, p_token int, p_counts int[], p_bytes bigint, p_data text[], p_ids text[],
  p_results json, p_at bigint
) RETURNS TABLE (ok boolean, meta text) LANGUAGE plpgsql SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  b @.batches;
  v_now bigint := coalesce(p_at, @.now_ms());
  v_chunk bigint;
  v_from int := 0;
BEGIN
  PERFORM @.check_isolation();
  PERFORM @.lock_batches(ARRAY[p_batch]);
  SELECT * INTO b FROM @.batches AS t
  WHERE t.id = p_batch AND t.token = p_token AND t.state = 'leased';
  IF NOT FOUND THEN
    RETURN;
  END IF;
  IF NOT b.prepared THEN
    PERFORM @.keep_results(b.queue, p_results, v_now);
    UPDATE @.batches AS t SET prepared = true WHERE t.id = p_batch;
  END IF;
  IF NOT b.prepared AND p_counts IS NOT NULL THEN
    PERFORM @.end_keys_left_out(p_batch, p_ids, v_now);
    PERFORM @.drop_members(ARRAY[p_batch]);
    FOR i IN 1 .. cardinality(p_counts) LOOP
      v_chunk := nextval('@.chunk_ids');
      INSERT INTO @.payloads (chunk, count, live, data)
        VALUES (v_chunk, p_counts[i], p_counts[i], p_data[i]);
      INSERT INTO @.members (batch, place, chunk, from_index, count, ids)
        SELECT p_batch, i, v_chunk, 0, p_counts[i],
          array_agg(CASE WHEN u.id = '' THEN v_chunk || ':' || (u.n - 1) ELSE u.id END
            ORDER BY u.n)
        FROM unnest(p_ids[v_from + 1 : v_from + p_counts[i]]) WITH ORDINALITY AS u (id, n);
      v_from := v_from + p_counts[i];
    END LOOP;
    UPDATE @.batches AS t SET count = v_from, bytes = p_bytes WHERE t.id = p_batch;
  END IF;
  RETURN QUERY SELECT m.count = p.count,
      json_build_array(m.chunk, m.from_index, m.count, m.indices, m.ids)::text
    FROM @.members AS m JOIN @.payloads AS p ON p.chunk = m.chunk
    WHERE m.batch = p_batch ORDER BY m.place;
END $$;

-- The items of a batch that are not in p_ids ended.
CREATE FUNCTION @.end_keys_left_out(p_batch bigint, p_ids text[], p_now bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM @.members AS m JOIN @.keys AS k ON k.chunk = m.chunk
    WHERE m.batch = p_batch) THEN
    RETURN;
  END IF;
  UPDATE @.keys AS k SET expires_at = p_now + k.ttl_ms
  FROM (
    SELECT i.chunk || ':' || i.index AS id FROM @.batch_items(p_batch) AS i
    EXCEPT SELECT unnest(p_ids)) AS gone
  WHERE k.chunk = split_part(gone.id, ':', 1)::bigint
    AND k.idx = split_part(gone.id, ':', 2)::int;
END $$;
`;
