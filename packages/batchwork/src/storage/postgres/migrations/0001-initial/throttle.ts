/** How often a queue may hand batches over, and how often it did. */
import { STEADY_PLANS } from "./plans.ts";

export const THROTTLE = String.raw`
-- Deliveries of throttled queues, one row a claim. Each row knows how many came before it, so the
-- window is counted by its first row and its last, and a search begins behind what was deleted.
-- Written by claims that have the queue alone.
CREATE TABLE @.deliveries (
  queue int NOT NULL,
  at bigint NOT NULL,
  earlier bigint NOT NULL,
  count int NOT NULL,
  PRIMARY KEY (queue, at)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_cost_delay = 0, vacuum_truncate = false);

CREATE FUNCTION @.delivered_so_far(p_queue int) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  RETURN coalesce((SELECT d.earlier + d.count FROM @.deliveries AS d WHERE d.queue = p_queue
    ORDER BY d.at DESC LIMIT 1), 0);
END $$;

-- room: how many more there may be now; frees_at: when there may be more, NULL where there is room.
CREATE FUNCTION @.throttle_room(
  p_queue int, p_throttle json, p_now bigint, OUT room bigint, OUT frees_at bigint
) LANGUAGE plpgsql AS $$
DECLARE
  v_duration bigint := (p_throttle->>'durationMs')::bigint;
  v_first record;
BEGIN
  SELECT d.at, d.earlier INTO v_first FROM @.deliveries AS d
  WHERE d.queue = p_queue AND d.at > p_now - v_duration ORDER BY d.at LIMIT 1;
  room := (p_throttle->>'max')::bigint;
  IF FOUND THEN
    room := greatest(0, room - (@.delivered_so_far(p_queue) - v_first.earlier));
  END IF;
  IF room = 0 THEN
    -- A clock that was set back: what lies ahead of it counts as if it were of now.
    frees_at := least(v_first.at, p_now) + v_duration;
  END IF;
END $$;

-- The caller has the queue alone, since before this statement: what others delivered is seen. The
-- clock may have been set back: then what lies ahead was just now, or it would hold for as long.
CREATE FUNCTION @.begin_throttle(p_queue int, p_throttle json, p_at bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  v_now bigint := coalesce(p_at, @.now_ms());
  v_ahead record;
BEGIN
  SELECT d.at, d.earlier INTO v_ahead FROM @.deliveries AS d
  WHERE d.queue = p_queue AND d.at >= v_now ORDER BY d.at LIMIT 1;
  IF v_ahead.at IS NOT NULL AND EXISTS (
    SELECT FROM @.deliveries AS d WHERE d.queue = p_queue AND d.at > v_now) THEN
    v_ahead.at := @.delivered_so_far(p_queue) - v_ahead.earlier;
    DELETE FROM @.deliveries AS d WHERE d.queue = p_queue AND d.at >= v_now;
    INSERT INTO @.deliveries (queue, at, earlier, count)
    VALUES (p_queue, v_now, v_ahead.earlier, v_ahead.at);
  END IF;
  RETURN (SELECT r.room FROM @.throttle_room(p_queue, p_throttle, v_now) AS r);
END $$;

-- Notes how many a claim handed over, and clears up more than it leaves. Returns when there may be
-- more; NULL where there is room.
CREATE FUNCTION @.note_delivered(
  p_queue int, p_throttle json, p_count int, p_now bigint, OUT frees_at bigint
) LANGUAGE plpgsql AS $$
DECLARE
  v_until bigint := p_now - (p_throttle->>'durationMs')::bigint;
BEGIN
  IF p_count > 0 THEN
    INSERT INTO @.deliveries AS d (queue, at, earlier, count)
    VALUES (p_queue, p_now, @.delivered_so_far(p_queue), p_count)
    ON CONFLICT (queue, at) DO UPDATE SET count = d.count + excluded.count;
    DELETE FROM @.deliveries AS d WHERE d.queue = p_queue AND d.at = ANY (ARRAY(
      SELECT e.at FROM @.deliveries AS e WHERE e.queue = p_queue AND e.at <= v_until
      ORDER BY e.at LIMIT 10));
  END IF;
  frees_at := (SELECT r.frees_at FROM @.throttle_room(p_queue, p_throttle, p_now) AS r);
END $$;

-- The same for the batches of this queue among those that a claim handed over.
CREATE FUNCTION @.note_deliveries(
  p_queue int, p_throttle json, p_claimed bigint[], p_now bigint, OUT frees_at bigint
) LANGUAGE plpgsql AS $$
BEGIN
  frees_at := @.note_delivered(p_queue, p_throttle, (SELECT count(*) FROM @.batches AS b
    WHERE b.id = ANY (p_claimed) AND b.queue = p_queue)::int, p_now);
END $$;

-- When to look at a queue that may not hand over before p_frees_at.
CREATE FUNCTION @.throttled_look(p_frees_at bigint, p_due boolean, p_next_at bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN p_due THEN p_frees_at
    WHEN p_next_at IS NOT NULL THEN greatest(p_next_at, p_frees_at) END
$$;

-- When the queue may hand over again; NULL when it may now.
CREATE FUNCTION @.throttled_until(p_queue int, p_throttle json, p_at bigint) RETURNS bigint
LANGUAGE plpgsql ${STEADY_PLANS} AS $$
BEGIN
  RETURN (SELECT r.frees_at
    FROM @.throttle_room(p_queue, p_throttle, coalesce(p_at, @.now_ms())) AS r);
END $$;
`;
