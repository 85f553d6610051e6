-- Up Migration
--
-- The rows of a day come and change by the thousand within seconds, and their statements find them
-- by their keys. By default a tenth of new rows has the whole table looked at again (some 30,000
-- wide rows, half a second of a core): at 1,500 jobs/s all the time. Vacuum stays as it is, and
-- tells the planner how large the table has become.

UPDATE millrace.daily_tables
SET storage = concat_ws(', ', nullif(storage, ''), 'autovacuum_analyze_threshold = 20000',
  'autovacuum_analyze_scale_factor = 0.5')
WHERE partitioned;

DO $$
DECLARE
  partition regclass;
BEGIN
  FOR partition IN
    SELECT i.inhrelid::regclass
    FROM millrace.daily_tables AS kept JOIN pg_inherits AS i
      ON i.inhparent = format('%I.%I', kept.schema_name, kept.table_name)::regclass
    WHERE kept.partitioned
  LOOP
    EXECUTE format('ALTER TABLE %s SET (autovacuum_analyze_threshold = 20000,
      autovacuum_analyze_scale_factor = 0.5)', partition);
  END LOOP;
END
$$;

-- Down Migration

UPDATE millrace.daily_tables
SET storage = replace(storage,
  ', autovacuum_analyze_threshold = 20000, autovacuum_analyze_scale_factor = 0.5', '')
WHERE partitioned;

DO $$
DECLARE
  partition regclass;
BEGIN
  FOR partition IN
    SELECT i.inhrelid::regclass
    FROM millrace.daily_tables AS kept JOIN pg_inherits AS i
      ON i.inhparent = format('%I.%I', kept.schema_name, kept.table_name)::regclass
    WHERE kept.partitioned
  LOOP
    EXECUTE format('ALTER TABLE %s RESET (autovacuum_analyze_threshold,
      autovacuum_analyze_scale_factor)', partition);
  END LOOP;
END
$$;
