/** What is left, what waits, what runs, and dead letters nobody has been told of. */
import { STEADY_PLANS } from "./plans.ts";

export const STATUS = String.raw`
-- The last chunk id that was given out.
CREATE FUNCTION @.mark() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  RETURN coalesce(pg_sequence_last_value('@.chunk_ids'), 0);
END $$;

-- The states of all groups of a queue, or of one group.
CREATE FUNCTION @.states_of(p_queue int, p_group text) RETURNS SETOF @.group_states
LANGUAGE sql STABLE AS $$
  SELECT s.* FROM @.groups AS g, LATERAL (
    SELECT * FROM @.group_states AS v WHERE v.grp = g.id ORDER BY v.version DESC LIMIT 1) AS s
  WHERE g.queue = p_queue AND (p_group IS NULL OR g.name = p_group)
$$;

CREATE FUNCTION @.make_due(p_queue int, p_group text, p_at bigint) RETURNS bigint
LANGUAGE plpgsql ${STEADY_PLANS} AS $$
DECLARE
  v_now bigint;
  v_mark bigint;
  v_turn bigint;
BEGIN
  PERFORM @.check_isolation();
  -- No claim is under way, so nothing that was committed before is missed.
  PERFORM pg_advisory_xact_lock(@queues, p_queue);
  v_mark := @.mark();
  IF (SELECT q.paused FROM @.queues AS q WHERE q.id = p_queue) THEN
    RETURN v_mark;
  END IF;
  PERFORM FROM @.groups AS g WHERE g.queue = p_queue AND (p_group IS NULL OR g.name = p_group)
  ORDER BY g.id FOR UPDATE;
  -- The transaction id comes first: see @.marks.
  PERFORM pg_current_xact_id();
  v_now := coalesce(p_at, @.now_ms());
  PERFORM @.count_inbox(p_queue, 0, '{}', 0, 0, 9223372036854775807, v_now);
  v_turn := nextval('@.turns');
  UPDATE @.group_states AS g SET flush_to = v_mark, flushed_at = v_now,
    turn = CASE WHEN g.wake_at <= v_now THEN g.turn ELSE v_turn END,
    wake_at = CASE WHEN g.wake_at <= v_now THEN g.wake_at ELSE v_now END
  FROM @.states_of(p_queue, p_group) AS s
  WHERE g.grp = s.grp AND g.version = s.version AND s.items > 0;
  RETURN v_mark;
END $$;

CREATE FUNCTION @.outstanding(p_queue int, p_group text, p_mark bigint, p_all boolean)
RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT
    (SELECT count(*) FROM @.states_of(p_queue, p_group) AS g
      WHERE g.items > 0 AND g.head <= p_mark)
    + (SELECT count(DISTINCT i.grp) FROM @.inbox AS i
      WHERE i.queue = p_queue AND i.count > 0 AND i.chunk <= p_mark
        AND (p_group IS NULL OR i.grp = p_group)
        AND NOT EXISTS (SELECT FROM @.states_of(p_queue, i.grp) AS g
          WHERE g.items > 0 AND g.head <= p_mark))
    + (SELECT count(*) FROM (
        -- One part for each partial index.
        SELECT * FROM @.batches AS l WHERE l.state = 'leased'
        UNION ALL SELECT * FROM @.batches AS r WHERE r.state = 'ready' AND NOT r.suspect
        UNION ALL SELECT * FROM @.batches AS s WHERE s.state = 'ready' AND s.suspect) AS b
      WHERE b.queue = p_queue AND b.first_chunk <= p_mark
        AND (p_group IS NULL OR b.grp = (SELECT g.id FROM @.groups AS g
          WHERE g.queue = p_queue AND g.name = p_group))
        AND (p_all OR (b.parent IS NULL AND b.attempt = 1)))
$$;

-- Where the due time of a backlog is not known, that of its oldest chunks stands for it.
CREATE FUNCTION @.counts(
  p_queue int, p_group text, OUT paused boolean, OUT waiting bigint, OUT groups bigint,
  OUT retrying bigint, OUT leased bigint, OUT dead bigint, OUT due_at bigint
) LANGUAGE sql STABLE AS $$
  SELECT q.paused, o.items + f.items, o.groups + f.groups, b.ready, b.leased, d.n,
    least(o.due_at, f.due_at)
  FROM @.queues AS q, LATERAL (
    SELECT coalesce(sum(g.items), 0)::bigint AS items, count(*) FILTER (WHERE g.items > 0)
        AS groups,
      min(CASE WHEN g.items = 0 THEN NULL WHEN g.head <= g.flush_to
        THEN least(g.flushed_at, g.due_at) ELSE coalesce(g.due_at, (
          SELECT min(w.due_at) FROM (SELECT t.due_at FROM @.waiting AS t
            WHERE t.grp = g.grp AND t.chunk >= g.head ORDER BY t.chunk LIMIT 100) AS w))
        END) AS due_at
    FROM @.states_of(p_queue, p_group) AS g
  ) AS o, LATERAL (
    SELECT coalesce(sum(i.count), 0)::bigint - CASE WHEN bool_or(i.keys IS NOT NULL)
        THEN @.duplicates_in_inbox(p_queue, p_group) ELSE 0 END AS items,
      min(i.due_at) AS due_at,
      count(DISTINCT i.grp) FILTER (WHERE NOT EXISTS (
        SELECT FROM @.states_of(p_queue, i.grp) AS g WHERE g.items > 0)) AS groups
    FROM @.inbox AS i
    WHERE i.queue = p_queue AND i.count > 0 AND (p_group IS NULL OR i.grp = p_group)
  ) AS f, LATERAL (
    SELECT count(*) FILTER (WHERE t.state = 'leased') AS leased,
      count(*) FILTER (WHERE t.state = 'ready') AS ready
    FROM (
        -- One part for each partial index.
        SELECT * FROM @.batches AS l WHERE l.state = 'leased'
        UNION ALL SELECT * FROM @.batches AS r WHERE r.state = 'ready' AND NOT r.suspect
        UNION ALL SELECT * FROM @.batches AS s WHERE s.state = 'ready' AND s.suspect) AS t
    WHERE t.queue = p_queue AND (p_group IS NULL OR t.grp = (SELECT g.id FROM @.groups AS g
      WHERE g.queue = p_queue AND g.name = p_group))
  ) AS b, LATERAL (
    SELECT count(*) AS n FROM @.dead AS l
    WHERE l.queue = p_queue AND (p_group IS NULL OR l.grp = p_group)
  ) AS d
  WHERE q.id = p_queue
$$;

-- Whole batches, so that one call of onDead can name all items that died together. One process at
-- a time, or two would each have a part of one.
CREATE FUNCTION @.take_unnotified(p_queue int, p_limit int, p_retry_ms bigint, p_at bigint)
RETURNS SETOF @.dead LANGUAGE plpgsql AS $$
DECLARE
  v_now bigint := coalesce(p_at, @.now_ms());
  v_last bigint;
  v_batch bigint;
BEGIN
  IF NOT pg_try_advisory_xact_lock(@notices, p_queue) THEN
    RETURN;
  END IF;
  SELECT t.id, t.batch INTO v_last, v_batch FROM (
    SELECT d.id, d.batch FROM @.dead AS d
    WHERE d.queue = p_queue AND d.notice_at <= v_now ORDER BY d.id LIMIT p_limit) AS t
  ORDER BY t.id DESC LIMIT 1;
  IF v_last IS NULL THEN
    RETURN;
  END IF;
  RETURN QUERY WITH taken AS (
    UPDATE @.dead AS d SET notice_at = v_now + p_retry_ms
    WHERE d.queue = p_queue AND d.notice_at <= v_now AND (d.id <= v_last OR d.batch = v_batch)
    RETURNING d.*
  ) SELECT * FROM taken AS t ORDER BY t.id;
END $$;
`;
