/** What becomes of items that are out of attempts. */

export const DEATHS = String.raw`
-- Makes dead letters of the items at these positions.
CREATE FUNCTION @.bury(
  p_batch bigint, p_positions int[], p_errors text[], p_attempts int, p_crashes int, p_now bigint
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_died record;
BEGIN
  WITH buried AS (
  INSERT INTO @.dead (queue, grp, item, item_id, error, attempts, crashes, batch, root, died_at,
      notice_at)
  WITH items AS MATERIALIZED (
    SELECT p.chunk, (i.n - 1)::int AS index, i.text
    FROM @.payloads AS p, unnest(string_to_array(p.data, E',\n')) WITH ORDINALITY AS i (text, n)
    WHERE p.chunk IN (SELECT m.chunk FROM @.members AS m WHERE m.batch = p_batch)
  )
  SELECT b.queue, g.name, i.text, coalesce(t.id, i.chunk || ':' || i.index), d.error, p_attempts,
    p_crashes, b.id, coalesce(b.root, b.id), p_now, CASE WHEN q.notify THEN 0 END
  FROM unnest(p_positions, p_errors) AS d (place, error)
    JOIN @.batch_items(p_batch) AS t ON t.place = d.place
    JOIN items AS i ON i.chunk = t.chunk AND i.index = t.index
    JOIN @.batches AS b ON b.id = p_batch
    JOIN @.groups AS g ON g.id = b.grp
    JOIN @.queues AS q ON q.id = b.queue
  ORDER BY d.place
  RETURNING queue, item_id, item, error
  ) SELECT d.queue, array_agg(d.item_id) AS ids, array_agg(d.item) AS items,
      array_agg(d.error) AS errors
    INTO v_died FROM buried AS d WHERE starts_with(d.item, @.submitted_prefix()) GROUP BY d.queue;
  IF FOUND THEN
    PERFORM @.keep_deaths(v_died.queue, v_died.ids, v_died.items, v_died.errors, p_now);
  END IF;
END $$;

-- How the text of a submitted item begins, before its ttl and a comma.
CREATE FUNCTION @.submitted_prefix() RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT '{"' || chr(92) || 'u0000result":['
$$;

-- Submitted items died: p_ids, and their texts.
CREATE FUNCTION @.keep_deaths(
  p_queue int, p_ids text[], p_items text[], p_errors text[], p_now bigint
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_prefix text := @.submitted_prefix();
BEGIN
  INSERT INTO @.results (chunk, idx, queue, kind, error, ended_at, expires_at)
    SELECT split_part(d.id, ':', 1)::bigint, split_part(d.id, ':', 2)::int, p_queue, 'failed',
      d.error, p_now,
      p_now + nullif(split_part(substr(d.item, length(v_prefix) + 1), ',', 1), 'null')::bigint
    FROM unnest(p_ids, p_items, p_errors) AS d (id, item, error)
    WHERE starts_with(d.item, v_prefix)
  ON CONFLICT (chunk, idx) DO NOTHING;
END $$;
`;
