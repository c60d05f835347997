/**
 * Loops: one row each, and every write fenced by its token. The edges are those of
 * `core/loop-transitions.ts`.
 *
 * A ping in somebody's transaction writes nothing while the loop is awake, so the loop must not
 * become idle before that transaction has committed and was looked at. The ping holds a lock of
 * the loop, shared, to the end of its transaction. Before its last look the loop writes that it
 * listens: pings that see that leave a row behind. Once the lock is free for a moment after that,
 * whoever did not see it has committed.
 */
import { STEADY_PLANS } from "./plans.ts";

export const LOOPS = String.raw`
CREATE TABLE @.loops (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind text NOT NULL,
  name text NOT NULL,
  part text NOT NULL,
  status text NOT NULL
    CHECK (status IN ('active', 'idle', 'paused', 'failed', 'done', 'cancelled')),
  token int NOT NULL DEFAULT 0,
  -- The incarnation that runs it.
  owner bigint,
  -- When it is due; NULL for not by itself.
  run_at bigint,
  -- True when its owner is to go on at once after the current step.
  kicked boolean NOT NULL DEFAULT false,
  -- True when pings leave a row behind although it is awake.
  listening boolean NOT NULL DEFAULT false,
  -- Steps written so far.
  step bigint NOT NULL DEFAULT 0,
  cursor text,
  state text NOT NULL,
  attempt int NOT NULL DEFAULT 0,
  -- Owners in a row that died without a step.
  crashes int NOT NULL DEFAULT 0,
  error text,
  created_at bigint NOT NULL,
  updated_at bigint NOT NULL,
  UNIQUE (kind, name, part)
) WITH (fillfactor = 50);
CREATE INDEX loops_definition ON @.loops (kind, name, id);
CREATE INDEX loops_due ON @.loops (kind, name, run_at, id)
  WHERE run_at IS NOT NULL AND owner IS NULL;
CREATE INDEX loops_owner ON @.loops (owner) WHERE owner IS NOT NULL;

-- Pings from inside of transactions; the next claim turns them into due loops.
CREATE TABLE @.loop_pings (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  loop bigint NOT NULL,
  due_at bigint NOT NULL
);
CREATE INDEX loop_pings_loop ON @.loop_pings (loop);

-- What loops gave up.
CREATE TABLE @.loop_dead (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  loop bigint NOT NULL,
  item text NOT NULL,
  error text NOT NULL,
  attempts int NOT NULL,
  -- True once somebody asked for another try.
  marked boolean NOT NULL DEFAULT false,
  died_at bigint NOT NULL
);
CREATE INDEX loop_dead_loop ON @.loop_dead (loop, id);

-- What steps of loops left to be read later.
CREATE TABLE @.loop_notes (
  loop bigint NOT NULL,
  step bigint NOT NULL,
  note text NOT NULL,
  PRIMARY KEY (loop, step)
);

CREATE FUNCTION @.loop_json(l @.loops) RETURNS json LANGUAGE sql STABLE AS $$
  SELECT json_build_object('id', l.id, 'kind', l.kind, 'name', l.name, 'part', l.part,
    'status', l.status, 'token', l.token, 'owner', l.owner, 'runAt', l.run_at, 'step', l.step,
    'cursor', l.cursor, 'state', l.state, 'attempt', l.attempt, 'crashes', l.crashes,
    'error', l.error, 'createdAt', l.created_at, 'updatedAt', l.updated_at)
$$;

-- The lock of a loop that pings share.
CREATE FUNCTION @.loop_key(p_loop bigint) RETURNS int LANGUAGE sql IMMUTABLE AS $$
  SELECT (p_loop % 2147483647)::int
$$;

CREATE FUNCTION @.create_loops(
  p_kinds text[], p_names text[], p_parts text[], p_states text[], p_cursors text[],
  p_delays bigint[], p_at bigint
) RETURNS TABLE (created boolean, loop text) LANGUAGE plpgsql ${STEADY_PLANS} AS $$
DECLARE
  v_now bigint := coalesce(p_at, @.now_ms());
  v_made bigint;
BEGIN
  PERFORM @.check_isolation();
  FOR i IN 1 .. coalesce(cardinality(p_kinds), 0) LOOP
    v_made := NULL;
    INSERT INTO @.loops (kind, name, part, status, run_at, cursor, state, created_at, updated_at)
    VALUES (p_kinds[i], p_names[i], p_parts[i], 'active', v_now + p_delays[i], p_cursors[i],
      p_states[i], v_now, v_now)
    ON CONFLICT ON CONSTRAINT loops_kind_name_part_key DO NOTHING RETURNING id INTO v_made;
    RETURN QUERY SELECT v_made IS NOT NULL, @.loop_json(l)::text FROM @.loops AS l
      WHERE l.kind = p_kinds[i] AND l.name = p_names[i] AND l.part = p_parts[i];
  END LOOP;
END $$;

CREATE FUNCTION @.delete_loops(p_loops bigint[], p_statuses text[]) RETURNS SETOF bigint
LANGUAGE plpgsql ${STEADY_PLANS} AS $$
DECLARE
  v_gone bigint[];
BEGIN
  PERFORM @.check_isolation();
  WITH gone AS (
    DELETE FROM @.loops AS l WHERE l.id = ANY (p_loops) AND l.status = ANY (p_statuses)
    RETURNING l.id
  ) SELECT coalesce(array_agg(g.id), '{}') INTO v_gone FROM gone AS g;
  DELETE FROM @.loop_dead AS d WHERE d.loop = ANY (v_gone);
  DELETE FROM @.loop_notes AS n WHERE n.loop = ANY (v_gone);
  DELETE FROM @.loop_pings AS p WHERE p.loop = ANY (v_gone);
  RETURN QUERY SELECT * FROM unnest(v_gone);
END $$;

-- Carries out what a user asked of a loop, where it has an edge for that.
CREATE FUNCTION @.control_loop(p_loop bigint, p_event text, p_now bigint) RETURNS boolean
LANGUAGE plpgsql ${STEADY_PLANS} AS $$
DECLARE
  l @.loops;
BEGIN
  SELECT * INTO l FROM @.loops AS t WHERE t.id = p_loop FOR UPDATE;
  IF NOT FOUND OR l.status IN ('done', 'cancelled') OR NOT (CASE p_event
    WHEN 'cancel' THEN true
    WHEN 'resume' THEN l.status IN ('paused', 'failed')
    ELSE l.status IN ('active', 'idle') END)
  THEN
    RETURN false;
  END IF;
  UPDATE @.loops AS t SET updated_at = p_now,
    status = CASE p_event WHEN 'cancel' THEN 'cancelled' WHEN 'pause' THEN 'paused'
      ELSE 'active' END,
    run_at = CASE WHEN p_event IN ('cancel', 'pause') THEN NULL ELSE p_now END,
    owner = CASE WHEN p_event = 'cancel' THEN NULL ELSE l.owner END,
    kicked = CASE p_event WHEN 'kick' THEN l.kicked OR l.owner IS NOT NULL
      WHEN 'resume' THEN l.kicked ELSE false END,
    attempt = CASE WHEN p_event = 'resume' THEN 0 ELSE l.attempt END,
    crashes = CASE WHEN p_event = 'resume' THEN 0 ELSE l.crashes END,
    error = CASE WHEN p_event = 'resume' THEN NULL ELSE l.error END
  WHERE t.id = p_loop;
  RETURN true;
END $$;

CREATE FUNCTION @.control_loops(p_loops bigint[], p_event text, p_at bigint)
RETURNS TABLE (changed boolean, loop text) LANGUAGE plpgsql ${STEADY_PLANS} AS $$
DECLARE
  v_now bigint := coalesce(p_at, @.now_ms());
  v_changed boolean;
BEGIN
  PERFORM @.check_isolation();
  FOR i IN 1 .. coalesce(cardinality(p_loops), 0) LOOP
    v_changed := @.control_loop(p_loops[i], p_event, v_now);
    RETURN QUERY SELECT v_changed,
      (SELECT @.loop_json(l)::text FROM @.loops AS l WHERE l.id = p_loops[i]);
  END LOOP;
END $$;

-- Turns pings that were left behind into due loops: of these definitions, and idle ones only. A
-- ping of one that is awake is for its owner to find.
CREATE FUNCTION @.hear_pings(p_kinds text[], p_names text[]) RETURNS void
LANGUAGE plpgsql ${STEADY_PLANS} AS $$
DECLARE
  p record;
BEGIN
  -- Quoted, because a query behind FOR ends at the word LOOP.
  FOR p IN SELECT g."loop" AS id, min(g.due_at) AS due_at, array_agg(g.id) AS ids
    FROM @.loop_pings AS g GROUP BY g."loop" ORDER BY g."loop"
  LOOP
    UPDATE @.loops AS l SET status = 'active', run_at = p.due_at
    WHERE l.id = p.id AND l.status = 'idle' AND EXISTS (
      SELECT FROM unnest(p_kinds, p_names) AS t (kind, name)
      WHERE t.kind = l.kind AND t.name = l.name);
    IF FOUND THEN
      DELETE FROM @.loop_pings AS g WHERE g.id = ANY (p.ids);
    END IF;
  END LOOP;
END $$;

CREATE FUNCTION @.claim_loops(
  p_incarnation bigint, p_kinds text[], p_names text[], p_limits int[], p_at bigint
) RETURNS text LANGUAGE plpgsql ${STEADY_PLANS} AS $$
DECLARE
  v_now bigint := coalesce(p_at, @.now_ms());
  v_alive boolean;
  v_due bigint[];
  v_all bigint[] := '{}';
  v_next bigint;
  v_at bigint;
  v_more boolean := false;
BEGIN
  PERFORM @.check_isolation();
  -- Who compares what is owned with what is known waits for claims that are under way.
  PERFORM pg_advisory_xact_lock_shared(@incarnations, p_incarnation::int);
  v_alive := EXISTS (SELECT FROM @.incarnations AS i WHERE i.id = p_incarnation);
  PERFORM @.hear_pings(p_kinds, p_names);
  FOR i IN 1 .. coalesce(cardinality(p_kinds), 0) LOOP
    v_due := ARRAY(SELECT l.id FROM @.loops AS l
      WHERE l.kind = p_kinds[i] AND l.name = p_names[i] AND l.run_at <= v_now
        AND l.owner IS NULL AND v_alive
      ORDER BY l.run_at, l.id LIMIT p_limits[i] FOR UPDATE SKIP LOCKED);
    UPDATE @.loops AS l SET status = 'active', token = l.token + 1, owner = p_incarnation,
      updated_at = v_now
    WHERE l.id = ANY (v_due);
    v_all := v_all || v_due;
    SELECT min(l.run_at) INTO v_at FROM @.loops AS l
    WHERE l.kind = p_kinds[i] AND l.name = p_names[i] AND l.run_at IS NOT NULL
      AND l.owner IS NULL;
    IF v_at <= v_now AND cardinality(v_due) >= p_limits[i] THEN
      v_more := true;
    ELSIF v_at IS NOT NULL THEN
      -- Something due that was passed over is in the hands of another transaction, not for long.
      v_next := least(v_next, CASE WHEN v_at > v_now THEN v_at ELSE v_now + 20 END);
    END IF;
  END LOOP;
  RETURN json_build_object('now', v_now, 'more', v_more, 'nextAt', v_next, 'claimed', coalesce((
    SELECT json_agg(@.loop_json(l) ORDER BY u.n)
    FROM unnest(v_all) WITH ORDINALITY AS u (id, n), LATERAL (
      SELECT * FROM @.loops AS t WHERE t.id = u.id) AS l), '[]'))::text;
END $$;

CREATE FUNCTION @.step_answer(
  p_result text, p_status text, p_run_at bigint, p_owned boolean
) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT json_build_object('result', p_result, 'status', p_status, 'runAt', p_run_at,
    'owned', p_owned)::text
$$;

-- Writes a step of the owner. p_bury: [item, error, attempts] of each new dead letter.
CREATE FUNCTION @.step_loop(
  p_loop bigint, p_token int, p_step bigint, p_cursor text, p_state text, p_attempt int,
  p_error text, p_to text, p_ms bigint, p_keep boolean, p_bury text, p_revive bigint[],
  p_note text, p_at bigint
) RETURNS text LANGUAGE plpgsql ${STEADY_PLANS} AS $$
DECLARE
  v_now bigint := coalesce(p_at, @.now_ms());
  l @.loops;
  v_status text;
  v_run_at bigint;
  v_owner bigint;
BEGIN
  SELECT * INTO l FROM @.loops AS t WHERE t.id = p_loop FOR UPDATE;
  IF l.token = p_token AND l.step = p_step THEN
    RETURN @.step_answer('written', l.status, l.run_at, l.owner IS NOT NULL);
  END IF;
  IF l.id IS NULL OR l.token <> p_token OR l.owner IS NULL OR l.step <> p_step - 1 THEN
    RETURN @.step_answer('lost', l.status, NULL, false);
  END IF;
  v_status := CASE WHEN p_to IN ('done', 'failed') OR l.status = 'active' THEN p_to
    ELSE l.status END;
  IF v_status = 'active' THEN
    v_owner := CASE WHEN p_keep THEN l.owner END;
    v_run_at := CASE WHEN l.kicked OR p_ms = 0 THEN least(coalesce(l.run_at, v_now), v_now)
      ELSE v_now + p_ms END;
  ELSIF v_status = 'idle' THEN
    IF l.kicked OR EXISTS (SELECT FROM @.loop_pings AS p WHERE p.loop = p_loop) THEN
      -- The time it would have been idle for is over already.
      v_status := 'active';
      v_run_at := v_now;
      DELETE FROM @.loop_pings AS p WHERE p.loop = p_loop;
    ELSE
      v_run_at := v_now + p_ms;
    END IF;
  END IF;
  UPDATE @.loops AS t SET status = v_status, run_at = v_run_at, owner = v_owner, kicked = false,
    listening = false, step = p_step, cursor = p_cursor, state = p_state, attempt = p_attempt,
    crashes = 0, error = p_error, updated_at = v_now
  WHERE t.id = p_loop;
  INSERT INTO @.loop_dead (loop, item, error, attempts, died_at)
    SELECT p_loop, b ->> 0, b ->> 1, (b ->> 2)::int, v_now
    FROM json_array_elements(p_bury::json) AS b;
  DELETE FROM @.loop_dead AS d WHERE d.id = ANY (p_revive) AND d.loop = p_loop;
  IF p_note IS NOT NULL THEN
    INSERT INTO @.loop_notes (loop, step, note) VALUES (p_loop, p_step, p_note);
  END IF;
  RETURN @.step_answer('written', v_status, v_run_at, v_owner IS NOT NULL);
END $$;

-- The step of a transaction that an owner shares. The commit comes in the same message, so what
-- must not be committed has to fail.
CREATE FUNCTION @.step_one(
  p_loop bigint, p_token int, p_step bigint, p_cursor text, p_state text, p_attempt int,
  p_error text, p_to text, p_ms bigint, p_keep boolean, p_bury text, p_revive bigint[],
  p_note text, p_at bigint
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  v_answer text;
BEGIN
  PERFORM @.check_isolation();
  v_answer := @.step_loop(p_loop, p_token, p_step, p_cursor, p_state, p_attempt, p_error, p_to,
    p_ms, p_keep, p_bury, p_revive, p_note, p_at);
  IF v_answer::json ->> 'result' = 'lost' THEN
    RAISE EXCEPTION 'batchwork: the lease is lost' USING ERRCODE = 'BW003';
  END IF;
  RETURN v_answer;
END $$;

-- From here on pings leave a row behind.
CREATE FUNCTION @.listen_loop(p_loop bigint, p_token int) RETURNS void LANGUAGE sql AS $$
  UPDATE @.loops SET listening = true
  WHERE id = p_loop AND token = p_token AND owner IS NOT NULL AND NOT listening
$$;

-- True when every ping that wrote nothing has committed. The lock is free again at once.
CREATE FUNCTION @.is_heard(p_loop bigint) RETURNS boolean LANGUAGE sql AS $$
  SELECT pg_try_advisory_xact_lock(@loops, @.loop_key(p_loop))
$$;

-- p_database: NULL outside of a caller's transaction.
CREATE FUNCTION @.ping_loops(
  p_database uuid, p_loops bigint[], p_delays bigint[], p_at bigint
) RETURNS TABLE (answer text) LANGUAGE plpgsql AS $$
DECLARE
  v_now bigint := coalesce(p_at, @.now_ms());
  -- A snapshot from before may show an older state.
  v_stale boolean := current_setting('transaction_isolation') <> 'read committed';
  v_status text;
  v_listening boolean;
BEGIN
  IF p_database IS NOT NULL
    AND NOT EXISTS (SELECT FROM @.meta AS m WHERE m.id = p_database) THEN
    RAISE EXCEPTION 'batchwork: another database' USING ERRCODE = 'BW001';
  END IF;
  FOR i IN 1 .. coalesce(cardinality(p_loops), 0) LOOP
    IF p_database IS NOT NULL THEN
      PERFORM pg_advisory_xact_lock_shared(@loops, @.loop_key(p_loops[i]));
    END IF;
    -- A statement of its own, whose snapshot is younger than the lock.
    SELECT l.status, l.listening INTO v_status, v_listening
    FROM @.loops AS l WHERE l.id = p_loops[i];
    IF v_status = 'idle' AND p_database IS NULL THEN
      UPDATE @.loops AS l SET status = 'active', run_at = v_now + p_delays[i], updated_at = v_now
      WHERE l.id = p_loops[i] AND l.status = 'idle';
    ELSIF v_stale OR v_status = 'idle' OR (v_status = 'active' AND v_listening) THEN
      INSERT INTO @.loop_pings (loop, due_at) VALUES (p_loops[i], v_now + p_delays[i]);
    END IF;
    answer := CASE v_status WHEN 'idle' THEN 'woken' WHEN 'active' THEN 'awake'
      WHEN 'paused' THEN 'paused' ELSE 'ended' END;
    RETURN NEXT;
  END LOOP;
END $$;

CREATE FUNCTION @.release_loops(p_loops bigint[], p_tokens int[]) RETURNS void
LANGUAGE plpgsql ${STEADY_PLANS} AS $$
BEGIN
  FOR i IN 1 .. coalesce(cardinality(p_loops), 0) LOOP
    UPDATE @.loops AS l SET owner = NULL
    WHERE l.id = p_loops[i] AND l.token = p_tokens[i] AND l.owner IS NOT NULL;
  END LOOP;
END $$;

CREATE FUNCTION @.release_strange_loops(
  p_incarnation bigint, p_loops bigint[], p_tokens int[]
) RETURNS TABLE (loop bigint, token int) LANGUAGE plpgsql ${STEADY_PLANS} AS $$
BEGIN
  PERFORM @.check_isolation();
  -- A claim whose connection broke may still be under way: what it gets is a stranger, too.
  PERFORM pg_advisory_xact_lock(@incarnations, p_incarnation::int);
  UPDATE @.loops AS l SET owner = NULL
  WHERE l.owner = p_incarnation AND NOT EXISTS (
    SELECT FROM unnest(p_loops, p_tokens) AS k (id, token)
    WHERE k.id = l.id AND k.token = l.token);
  RETURN QUERY SELECT k.id, k.token FROM unnest(p_loops, p_tokens) AS k (id, token)
  WHERE NOT EXISTS (SELECT FROM @.loops AS l
    WHERE l.id = k.id AND l.token = k.token AND l.owner = p_incarnation);
END $$;

CREATE FUNCTION @.redrive_loops(p_kind text, p_name text, p_ids bigint[], p_at bigint)
RETURNS bigint LANGUAGE plpgsql ${STEADY_PLANS} AS $$
DECLARE
  v_now bigint := coalesce(p_at, @.now_ms());
  v_loops bigint[];
  v_count bigint;
BEGIN
  PERFORM @.check_isolation();
  WITH marked AS (
    UPDATE @.loop_dead AS d SET marked = true
    WHERE d.loop IN (SELECT l.id FROM @.loops AS l WHERE l.kind = p_kind AND l.name = p_name)
      AND (p_ids IS NULL OR d.id = ANY (p_ids)) AND NOT d.marked
    RETURNING d.loop
  ) SELECT count(*), array_agg(DISTINCT m.loop) INTO v_count, v_loops FROM marked AS m;
  FOR i IN 1 .. coalesce(cardinality(v_loops), 0) LOOP
    PERFORM @.control_loop(v_loops[i], 'kick', v_now);
  END LOOP;
  RETURN v_count;
END $$;
`;
