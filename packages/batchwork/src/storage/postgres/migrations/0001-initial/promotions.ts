/** What was moved here from elsewhere. */

export const PROMOTIONS = String.raw`
-- Written with what was moved, so it is known for ever whether a promotion has committed.
CREATE TABLE @.promotions (
  source text PRIMARY KEY,
  report text,
  promoted_at timestamptz NOT NULL DEFAULT now()
);

-- Keeps everybody from appending until the transaction ends, and has ids go on above those that
-- the source has given out. Returns 'done' when the promotion has committed before, 'used' when
-- items were added here: their ids would be given out twice.
CREATE FUNCTION @.begin_promotion(p_source text, p_chunk bigint, p_batch bigint, p_letter bigint)
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('lock_timeout', '10s', true);
  PERFORM set_config('synchronous_commit', 'on', true);
  -- Waits for whoever promotes the same source.
  INSERT INTO @.promotions (source) VALUES (p_source) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN
    RETURN 'done';
  END IF;
  -- Changes nothing, but is a lock that the next id has to wait for.
  ALTER SEQUENCE @.chunk_ids NO CYCLE;
  IF (SELECT s.is_called FROM @.chunk_ids AS s) THEN
    RETURN 'used';
  END IF;
  EXECUTE format('ALTER SEQUENCE %s RESTART WITH %s',
    pg_get_serial_sequence('@.batches', 'id'), p_batch + 1);
  EXECUTE format('ALTER SEQUENCE %s RESTART WITH %s',
    pg_get_serial_sequence('@.dead', 'id'), p_letter + 1);
  IF p_chunk > 0 THEN
    EXECUTE format('ALTER SEQUENCE %s RESTART WITH %s', '@.chunk_ids', p_chunk);
    -- Given out already: a mark stands for all that was appended before.
    PERFORM nextval('@.chunk_ids');
  END IF;
  RETURN 'ready';
END $$;
`;
