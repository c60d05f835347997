/** What there is to claim in a queue, and where the searches of a process begin. */

export const LOOK = String.raw`
-- How many batches of a group are leased, whatever its state says.
CREATE FUNCTION @.leased_in(p_group bigint) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  RETURN (SELECT count(*) FROM @.batches AS l WHERE l.grp = p_group AND l.state = 'leased');
END $$;

-- True when a suspect waits that only a process that runs nothing may have.
CREATE FUNCTION @.suspect_waits(p_queues int[], p_concurrencies bigint[], p_now bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  RETURN EXISTS (
    SELECT FROM unnest(p_queues, p_concurrencies) AS u (id, cap)
      JOIN @.batches AS b ON b.queue = u.id AND b.state = 'ready' AND b.suspect
    WHERE b.run_at <= p_now AND @.leased_in(b.grp) < u.cap);
END $$;

-- Looks where a claim of the queue would look. due: something is there now; in_line: a group of
-- which that is known. next_at: when there may
-- be something that is not there now. Moves the marks: p_last is the id given out last when this
-- transaction looked before it got its own id, p_before the time.
CREATE FUNCTION @.look(
  p_queue int, INOUT marks @.marks, p_last bigint, p_before bigint, p_now bigint,
  OUT due boolean, OUT in_line boolean, OUT next_at bigint
) LANGUAGE plpgsql AS $$
DECLARE
  f record;
BEGIN
  -- One statement, so that the first of each and the open transactions are of one snapshot.
  SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS open,
    (SELECT i.chunk FROM @.inbox AS i WHERE i.queue = p_queue AND i.chunk >= marks.chunk
      ORDER BY i.chunk LIMIT 1) AS chunk,
    (SELECT g.ready_at FROM @.group_states AS g WHERE g.queue = p_queue AND NOT g.blocked
      AND g.ready_at >= marks.ready_at ORDER BY g.ready_at LIMIT 1) AS ready_at,
    (SELECT g.wake_at FROM @.group_states AS g WHERE g.queue = p_queue AND NOT g.blocked
      AND g.wake_at >= marks.wake_at ORDER BY g.wake_at LIMIT 1) AS wake_at,
    (SELECT b.run_at FROM @.batches AS b WHERE b.queue = p_queue AND b.state = 'ready'
      AND b.suspect AND b.run_at > p_now ORDER BY b.run_at LIMIT 1) AS suspect_at
    INTO f;
  in_line := coalesce(least(f.ready_at, f.wake_at) <= p_now, false);
  due := f.chunk IS NOT NULL OR in_line;
  next_at := least(f.ready_at, f.wake_at, f.suspect_at);
  IF f.open >= marks.horizon THEN
    marks.chunk := least(f.chunk, marks.next_chunk);
    marks.ready_at := least(f.ready_at, marks.next_at);
    marks.wake_at := least(f.wake_at, marks.next_at);
    marks.horizon := NULL;
  END IF;
  IF marks.horizon IS NULL AND pg_current_xact_id_if_assigned() IS NOT NULL THEN
    marks.next_chunk := p_last + 1;
    marks.next_at := p_before;
    marks.horizon := pg_current_xact_id()::text::bigint;
  END IF;
END $$;

-- The marks that a process has kept, as far as they are still of use.
CREATE FUNCTION @.begin_marks(p_kept json, p_now bigint) RETURNS @.marks LANGUAGE plpgsql AS $$
DECLARE
  m @.marks := json_populate_record(NULL::@.marks, p_kept);
BEGIN
  m.chunk := coalesce(m.chunk, 0);
  IF m.since IS NULL OR p_now < m.since OR p_now > m.since + 30000 THEN
    m.ready_at := 0;
    m.wake_at := 0;
    m.horizon := NULL;
    m.since := p_now;
  END IF;
  RETURN m;
END $$;
`;
