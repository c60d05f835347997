/** Why a group is due, slicing texts, and fixing the next batch of a group. */

export const SEAL = String.raw`
-- The items p_from .. p_from + p_count - 1 of a chunk's text.
CREATE FUNCTION @.slice(p_data text, p_from int, p_count int) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
  SELECT array_to_string(
    (string_to_array(p_data, E',\n'))[p_from + 1 : p_from + p_count], E',\n')
$$;

CREATE FUNCTION @.pick(p_data text, p_indices int[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT string_agg((p.items)[i.index + 1], E',\n' ORDER BY i.n)
  FROM (SELECT string_to_array(p_data, E',\n') AS items) AS p,
    unnest(p_indices) WITH ORDINALITY AS i (index, n)
$$;

-- How many items fit, at most p_most of them, and at least one where p_empty; and their bytes.
CREATE FUNCTION @.fit(
  p_chunk bigint, p_from int, p_most int, p_room bigint, p_empty boolean,
  OUT taken int, OUT taken_bytes bigint
) LANGUAGE plpgsql AS $$
DECLARE
  v_items text[];
  v_size int;
BEGIN
  SELECT string_to_array(p.data, E',\n') INTO v_items FROM @.payloads AS p
    WHERE p.chunk = p_chunk;
  taken := 0;
  taken_bytes := 0;
  WHILE taken < p_most LOOP
    v_size := octet_length(v_items[p_from + taken + 1]);
    EXIT WHEN taken_bytes + v_size > p_room AND NOT (p_empty AND taken = 0);
    taken := taken + 1;
    taken_bytes := taken_bytes + v_size;
  END LOOP;
END $$;

-- Why the group is due, or NULL. The same law as core/flush.ts.
CREATE FUNCTION @.due_reason(
  p_items bigint, p_bytes bigint, p_flushed boolean, p_due_at bigint,
  p_max_size bigint, p_max_bytes bigint, p_now bigint
) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE
    WHEN p_items = 0 THEN NULL
    WHEN p_items >= p_max_size THEN 'size'
    WHEN p_bytes >= p_max_bytes THEN 'bytes'
    WHEN p_flushed THEN 'flush'
    WHEN p_now >= p_due_at THEN 'time'
  END
$$;

-- When the group's items are due. Only asked where they do not fill a batch, so it reads few rows.
CREATE FUNCTION @.find_due_at(p_group @.group_states) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  RETURN coalesce(p_group.due_at, (
    SELECT min(w.due_at) FROM @.waiting AS w
    WHERE w.grp = p_group.grp AND w.chunk >= p_group.head));
END $$;

-- Makes a batch of each of these chunks, leased at once; their headers are deleted already.
CREATE FUNCTION @.insert_whole(
  p_queue int, p_group bigint, p_chunks bigint[], p_bytes bigint[], p_size bigint,
  p_tells boolean, p_owner bigint, p_now bigint
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
  v_batches bigint[];
BEGIN
  WITH made AS (
    INSERT INTO @.batches (queue, grp, state, token, owner, attempt, run_at, count, bytes, reason,
        first_chunk, tells, sealed_at, claimed_at)
      SELECT p_queue, p_group, 'leased', 1, p_owner, 1, p_now, p_size, c.bytes, 'size', c.chunk,
        p_tells, p_now, p_now
      FROM unnest(p_chunks, p_bytes) WITH ORDINALITY AS c (chunk, bytes, n) ORDER BY c.n
      RETURNING id, first_chunk
  ), named AS (
    INSERT INTO @.members (batch, place, chunk, from_index, count)
      SELECT m.id, 1, m.first_chunk, 0, p_size FROM made AS m
  )
  SELECT array_agg(m.id ORDER BY m.id) INTO v_batches FROM made AS m;
  RETURN v_batches;
END $$;

-- Seals the next batch of a group, leased at once; as many as p_most where chunks come next that
-- fill a batch each. Returns NULL when the group is not due, or nothing is there, whatever its
-- state says. The caller writes the state back.
CREATE FUNCTION @.seal(
  INOUT p_group @.group_states, p_most bigint, p_max_size bigint, p_max_bytes bigint,
  p_tells boolean, p_owner bigint, p_now bigint, OUT batches bigint[]
) LANGUAGE plpgsql AS $$
DECLARE
  v_due bigint;
  v_reason text;
  w record;
  v_take int;
  v_bytes bigint;
  v_count bigint := 0;
  v_total bigint := 0;
  v_chunks bigint[] := '{}';
  v_from int[] := '{}';
  v_counts int[] := '{}';
  -- Of chunks that fill a batch each.
  v_sizes bigint[] := '{}';
  v_batch bigint;
  -- The last row that was taken whole.
  v_whole bigint;
  v_last int;
  v_dedup boolean := false;
  v_rest bigint;
BEGIN
  -- The time does not matter to what is due anyway, so a backlog is never searched for it.
  IF p_group.items > 0 AND p_group.items < p_max_size AND p_group.bytes < p_max_bytes
    AND p_group.head > p_group.flush_to THEN
    v_due := @.find_due_at(p_group);
    p_group.due_at := v_due;
  END IF;
  v_reason := @.due_reason(p_group.items, p_group.bytes, p_group.head <= p_group.flush_to, v_due,
    p_max_size, p_max_bytes, p_now);
  IF v_reason IS NULL THEN
    RETURN;
  END IF;
  FOR w IN SELECT chunk, from_index, count, dedup, bytes FROM @.waiting
    WHERE grp = p_group.grp AND chunk >= p_group.head ORDER BY chunk, from_index
  LOOP
    IF w.count = p_max_size AND w.bytes <= p_max_bytes AND w.from_index = 0 AND NOT w.dedup
      AND cardinality(v_sizes) = cardinality(v_chunks) AND p_group.items >= v_count + p_max_size
      AND cardinality(v_sizes) < p_most THEN
      v_sizes := v_sizes || w.bytes::bigint;
      v_chunks := v_chunks || w.chunk;
      v_count := v_count + w.count;
      v_total := v_total + w.bytes;
      v_whole := w.chunk;
      v_last := 0;
      CONTINUE;
    END IF;
    EXIT WHEN v_sizes <> '{}';
    v_take := least(w.count, p_max_size - v_count);
    v_bytes := w.bytes;
    IF v_take > 0 AND w.bytes > p_max_bytes - v_total THEN
      SELECT f.taken, f.taken_bytes INTO v_take, v_bytes
      FROM @.fit(w.chunk, w.from_index, v_take, p_max_bytes - v_total, v_count = 0) AS f;
    ELSIF v_take > 0 AND v_take < w.count THEN
      SELECT octet_length(@.slice(p.data, w.from_index, v_take)) - 2 * (v_take - 1) INTO v_bytes
      FROM @.payloads AS p WHERE p.chunk = w.chunk;
    END IF;
    v_rest := w.chunk;
    EXIT WHEN v_take = 0;
    v_dedup := v_dedup OR w.dedup;
    v_chunks := v_chunks || w.chunk;
    v_from := v_from || w.from_index;
    v_counts := v_counts || v_take;
    v_count := v_count + v_take;
    v_total := v_total + v_bytes;
    IF v_take < w.count THEN
      UPDATE @.waiting SET from_index = from_index + v_take, count = count - v_take,
        bytes = greatest(0, bytes - v_bytes)
      WHERE grp = p_group.grp AND chunk = w.chunk AND from_index = w.from_index;
      EXIT;
    END IF;
    v_whole := w.chunk;
    v_last := w.from_index;
    v_rest := NULL;
  END LOOP;
  IF v_count = 0 THEN
    p_group.items := 0;
    p_group.bytes := 0;
    p_group.due_at := NULL;
    RETURN;
  END IF;
  DELETE FROM @.waiting
    WHERE grp = p_group.grp AND chunk >= p_group.head AND (chunk, from_index) <= (v_whole, v_last);
  IF v_dedup THEN
    PERFORM @.release_dedup_keys(v_chunks, v_from, v_counts);
  END IF;
  IF v_sizes <> '{}' THEN
    batches := @.insert_whole(p_group.queue, p_group.grp, v_chunks, v_sizes, p_max_size, p_tells,
      p_owner, p_now);
  ELSE
    INSERT INTO @.batches (queue, grp, state, token, owner, attempt, run_at, count, bytes, reason,
        first_chunk, tells, sealed_at, claimed_at)
      VALUES (p_group.queue, p_group.grp, 'leased', 1, p_owner, 1, p_now, v_count, v_total,
        v_reason, v_chunks[1], p_tells, p_now, p_now)
      RETURNING id INTO v_batch;
    INSERT INTO @.members (batch, place, chunk, from_index, count)
      SELECT v_batch, m.n, m.chunk, m.from_index, m.count
      FROM unnest(v_chunks, v_from, v_counts) WITH ORDINALITY AS m (chunk, from_index, count, n);
    batches := ARRAY[v_batch];
  END IF;
  p_group.items := greatest(0, p_group.items - v_count);
  p_group.bytes := greatest(0, p_group.bytes - v_total);
  p_group.due_at := NULL;
  IF p_group.items = 0 THEN
    p_group.bytes := 0;
  ELSE
    p_group.head := coalesce(v_rest, v_whole + 1);
  END IF;
END $$;
`;
