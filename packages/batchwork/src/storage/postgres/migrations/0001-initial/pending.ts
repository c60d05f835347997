/**
 * How much of a queue is pending, where it has a limit. No row counts it: each process is given a
 * budget ahead of time, and what is pending and what the budgets allow keep to the limit together.
 */
import { STEADY_PLANS } from "./plans.ts";

export const PENDING = String.raw`
-- What a process may still append, or may be about to. A transaction that appends has the lock of
-- its budget (shared), so a budget that ran out is only deleted when nobody appends with it.
CREATE TABLE @.budgets (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  queue int NOT NULL,
  items bigint NOT NULL,
  bytes bigint NOT NULL,
  expires_at bigint NOT NULL
);
CREATE INDEX budgets_queue ON @.budgets (queue);

-- Items that are neither done nor dead. The bytes of a part of a chunk are those of average items,
-- without the two between one item and the next.
CREATE FUNCTION @.pending(p_queue int, OUT items bigint, OUT bytes bigint)
LANGUAGE plpgsql STABLE ${STEADY_PLANS} AS $$
#variable_conflict use_column
DECLARE
  v_part record;
BEGIN
  SELECT coalesce(sum(s.items), 0)::bigint, coalesce(sum(s.bytes), 0)::bigint INTO items, bytes
  FROM @.states_of(p_queue, NULL) AS s;
  SELECT coalesce(sum(i.count), 0) AS items, coalesce(sum(i.bytes), 0) AS bytes INTO v_part
  FROM @.inbox AS i WHERE i.queue = p_queue;
  items := items + v_part.items;
  bytes := bytes + v_part.bytes;
  SELECT coalesce(sum(t.count), 0) AS items, coalesce(sum((
      SELECT ceil((octet_length(d.data) - 2 * (d.count - 1))::numeric * t.count / d.count)
      FROM @.payloads AS d WHERE d.chunk = t.chunk)), 0) AS bytes INTO v_part
  FROM @.slices AS t WHERE t.queue = p_queue;
  items := items + v_part.items;
  bytes := bytes + v_part.bytes;
  SELECT coalesce(sum(b.count), 0) AS items, coalesce(sum(coalesce(b.bytes, (
      SELECT sum(ceil((octet_length(d.data) - 2 * (d.count - 1))::numeric * m.count / d.count))
      FROM @.members AS m JOIN @.payloads AS d ON d.chunk = m.chunk
      WHERE m.batch = b.id))), 0) AS bytes
    INTO v_part
  FROM (
    -- One part for each partial index.
    SELECT * FROM @.batches AS l WHERE l.state = 'leased'
    UNION ALL SELECT * FROM @.batches AS r WHERE r.state = 'ready' AND NOT r.suspect
    UNION ALL SELECT * FROM @.batches AS s WHERE s.state = 'ready' AND s.suspect) AS b
  WHERE b.queue = p_queue;
  items := items + v_part.items;
  bytes := bytes + v_part.bytes;
END $$;

-- Deletes budgets that nobody appends with.
CREATE FUNCTION @.drop_budgets(p_ids bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_id bigint;
BEGIN
  FOREACH v_id IN ARRAY p_ids LOOP
    IF pg_try_advisory_xact_lock(@pending, -v_id::int) THEN
      DELETE FROM @.budgets AS b WHERE b.id = v_id;
    END IF;
  END LOOP;
END $$;

-- Gives a process a budget of what it wants and a share of what is left beside that, or of nothing
-- when that does not fit. p_budget: the one that it has, of which p_keep is under way; p_over: old
-- ones. Returns the budget without what is under way, and what there is room for. Without p_share
-- it is a budget by itself, and nothing is left of the one before but what is under way.
CREATE FUNCTION @.take_room(
  p_queue int, p_budget bigint, p_keep_items bigint, p_keep_bytes bigint, p_over bigint[],
  p_items bigint, p_bytes bigint, p_max_items bigint, p_max_bytes bigint, p_share int,
  p_ttl bigint, p_at bigint,
  OUT budget bigint, OUT items bigint, OUT bytes bigint, OUT expires_at bigint,
  OUT room_items bigint, OUT room_bytes bigint
) LANGUAGE plpgsql ${STEADY_PLANS} AS $$
DECLARE
  v_now bigint;
  v_keep_items bigint := p_keep_items;
  v_keep_bytes bigint := p_keep_bytes;
  v_others record;
  v_pending record;
BEGIN
  PERFORM @.check_isolation();
  -- One process of a queue at a time; what it reads is read after it has the lock.
  PERFORM pg_advisory_xact_lock(@pending, p_queue);
  v_now := coalesce(p_at, @.now_ms());
  PERFORM @.drop_budgets(ARRAY(SELECT b.id FROM @.budgets AS b
    WHERE b.queue = p_queue AND b.id IS DISTINCT FROM p_budget
      AND (b.expires_at <= v_now OR b.id = ANY (p_over))));
  SELECT coalesce(sum(b.items), 0) AS items, coalesce(sum(b.bytes), 0) AS bytes
    INTO v_others FROM @.budgets AS b
    WHERE b.queue = p_queue AND b.id IS DISTINCT FROM p_budget;
  SELECT p.items, p.bytes INTO v_pending FROM @.pending(p_queue) AS p;
  room_items := greatest(0,
    p_max_items - v_pending.items - v_others.items - p_keep_items)::bigint;
  room_bytes := greatest(0,
    p_max_bytes - v_pending.bytes - v_others.bytes - p_keep_bytes)::bigint;
  items := 0;
  bytes := 0;
  IF p_items <= room_items AND p_bytes <= room_bytes THEN
    items := p_items + coalesce((room_items - p_items) / p_share, 0);
    bytes := p_bytes + coalesce((room_bytes - p_bytes) / p_share, 0);
  END IF;
  expires_at := v_now + p_ttl;
  IF p_share IS NULL THEN
    UPDATE @.budgets AS b SET items = p_keep_items, bytes = p_keep_bytes WHERE b.id = p_budget;
    v_keep_items := 0;
    v_keep_bytes := 0;
  ELSE
    UPDATE @.budgets AS b SET items = take_room.items + v_keep_items,
      bytes = take_room.bytes + v_keep_bytes, expires_at = take_room.expires_at
    WHERE b.id = p_budget RETURNING b.id INTO budget;
  END IF;
  IF budget IS NULL AND items + v_keep_items > 0 THEN
    INSERT INTO @.budgets (queue, items, bytes, expires_at)
    VALUES (p_queue, take_room.items + v_keep_items, take_room.bytes + v_keep_bytes,
      take_room.expires_at)
    RETURNING id INTO budget;
  END IF;
END $$;

-- The transaction appends by these budgets: none of them is deleted before it ends.
CREATE FUNCTION @.use_budgets(p_budgets bigint[], p_expiries bigint[], p_at bigint) RETURNS int
LANGUAGE plpgsql AS $$
DECLARE
  v_id bigint;
BEGIN
  FOREACH v_id IN ARRAY p_budgets LOOP
    PERFORM pg_advisory_xact_lock_shared(@pending, -v_id::int);
  END LOOP;
  IF coalesce(p_at, @.now_ms()) >= ANY (p_expiries) THEN
    RAISE EXCEPTION 'batchwork: the budget has run out' USING ERRCODE = 'BW005';
  END IF;
  RETURN cardinality(p_budgets);
END $$;
`;
