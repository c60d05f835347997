/** Who may be in a queue at a time, and what tighter caps change there. */

export const ENTRY = String.raw`
-- The times at which groups are looked at were worked out with the caps of earlier claims, the
-- loosest of which the queue has kept.
CREATE FUNCTION @.is_tighter(
  q @.queues, p_max_size bigint, p_max_bytes bigint, p_concurrency bigint
) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
  SELECT p_max_size < q.max_size OR p_max_bytes < q.max_bytes
    OR p_concurrency > q.group_concurrency
$$;

-- Lets a claim into its queue. Claims share a queue; whoever flushes it, a claim that makes groups
-- due by tighter caps, and one with a throttle (p_alone) has it alone.
CREATE FUNCTION @.enter_queue(
  p_queue int, p_max_size bigint, p_max_bytes bigint, p_concurrency bigint, p_alone boolean
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  v_entered record;
BEGIN
  SELECT e.tighter, CASE WHEN e.tighter OR p_alone
      THEN pg_advisory_xact_lock(@queues, p_queue)::text
      ELSE pg_advisory_xact_lock_shared(@queues, p_queue)::text END
    INTO v_entered FROM (
    SELECT @.is_tighter(q, p_max_size, p_max_bytes, p_concurrency) AS tighter
    FROM @.queues AS q WHERE q.id = p_queue OFFSET 0) AS e;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'batchwork: no queue %', p_queue USING ERRCODE = 'BW002';
  END IF;
  RETURN v_entered.tighter;
END $$;

-- Wakes the groups that are due for tighter caps. The caller has the queue alone.
CREATE FUNCTION @.adopt_caps(
  p_queue int, p_max_size bigint, p_max_bytes bigint, p_concurrency bigint, p_now bigint
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  -- Claims find out which of them are at their limit all the same.
  UPDATE @.group_states AS g SET blocked = false, ready_at = @.not_before(g.ready_at, p_now),
    wake_at = @.not_before(g.wake_at, p_now)
  WHERE g.queue = p_queue AND g.blocked;
  UPDATE @.group_states AS g SET wake_at = p_now, turn = nextval('@.turns')
  WHERE g.queue = p_queue AND g.wake_at > p_now
    AND (g.items >= p_max_size OR g.bytes >= p_max_bytes);
END $$;
`;
