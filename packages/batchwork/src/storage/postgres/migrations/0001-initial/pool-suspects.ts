/** Claiming tasks whose process died: apart from everything else, a few at a time. */

export const POOL_SUSPECTS = String.raw`
-- Leases suspects, up to p_most, as many as may keep each other company.
CREATE FUNCTION @.claim_suspects(p_queue int, p_most bigint, p_cap bigint, p_owner bigint,
  OUT claimed bigint[], OUT taken bigint
) LANGUAGE plpgsql AS $$
DECLARE
  s @.slices;
  v_company bigint := p_most;
  v_most bigint;
BEGIN
  claimed := '{}';
  taken := 0;
  FOR s IN SELECT * FROM @.slices AS t WHERE t.queue = p_queue AND t.state = 'suspect'
    ORDER BY t.company DESC, t.run_at, t.chunk, t.first_index LIMIT 256
  LOOP
    v_most := CASE WHEN s.key = '' THEN p_most ELSE p_cap - @.tasks_leased(p_queue, s.key) END;
    CONTINUE WHEN v_most <= 0;
    v_company := least(v_company, s.company);
    v_most := least(s.count, v_company - taken, p_most - taken, v_most);
    CONTINUE WHEN v_most <= 0;
    claimed := claimed || @.take_tasks(s, v_most::int, p_owner, true);
    taken := taken + v_most;
  END LOOP;
END $$;

-- True when a suspect waits that the limit of its key does not hold back.
CREATE FUNCTION @.suspect_task_waits(p_queue int, p_cap bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  RETURN EXISTS (SELECT FROM @.slices AS s WHERE s.queue = p_queue AND s.state = 'suspect'
    AND (s.key = '' OR @.tasks_leased(p_queue, s.key) < p_cap));
END $$;
`;
