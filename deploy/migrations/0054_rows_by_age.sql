-- Up Migration
--
-- What belongs to no job's day goes 30 days after it was written: the index of dead letters with
-- their topics, and notes of late spend, which bills have taken up by then.

CREATE OR REPLACE FUNCTION millrace_day_is_needed(p_table millrace.daily_tables, p_day date)
RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  source text := public.millrace_day_name(coalesce(p_table.follows, p_table.table_name), p_day);
  rule text := p_table.held_by;
  needed boolean;
BEGIN
  IF rule IS NULL THEN
    SELECT held_by INTO STRICT rule FROM millrace.daily_tables
    WHERE schema_name = p_table.schema_name AND table_name = p_table.follows;
  END IF;
  IF NOT p_table.partitioned AND p_table.follows IS NULL THEN
    source := p_table.table_name;
  ELSIF to_regclass(format('%I.%I', p_table.schema_name, source)) IS NULL THEN
    source := coalesce(p_table.follows, p_table.table_name) || '_default';
  ELSIF p_table.follows IS NOT NULL THEN
    RETURN true;
  END IF;
  EXECUTE format('SELECT EXISTS (SELECT FROM %I.%I WHERE day = %L AND (%s))',
    p_table.schema_name, source, p_day, rule) INTO needed;
  RETURN needed;
END
$$;

ALTER TABLE ingest.dead_letters
  ADD COLUMN day date GENERATED ALWAYS AS ((at AT TIME ZONE 'UTC')::date) STORED;
CREATE INDEX dead_letters_day ON ingest.dead_letters USING brin (day);
ALTER TABLE worker.late_usage
  ADD COLUMN day date GENERATED ALWAYS AS ((recorded_at AT TIME ZONE 'UTC')::date) STORED;
CREATE INDEX late_usage_day ON worker.late_usage USING brin (day);

INSERT INTO millrace.daily_tables VALUES
  ('ingest', 'dead_letters', '', 'at > now() - interval ''30 days''', NULL, false),
  ('worker', 'late_usage', '', 'recorded_at > now() - interval ''30 days''', NULL, false);

-- Down Migration

DELETE FROM millrace.daily_tables WHERE table_name IN ('dead_letters', 'late_usage');
ALTER TABLE worker.late_usage DROP COLUMN day;
ALTER TABLE ingest.dead_letters DROP COLUMN day;
