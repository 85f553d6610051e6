-- Up Migration
--
-- A partition knows of itself that all its rows are of one day. Before the first ANALYZE the planner
-- would guess that a statement's days leave one row in 200, read the partition by them instead of by
-- the rows' keys, and join the few that it expects by nested loops: 150 ms for a batch of 250.

CREATE FUNCTION millrace_know_day(p_schema text, p_partition text, p_day date) RETURNS void
LANGUAGE sql AS $$
  SELECT pg_catalog.pg_restore_attribute_stats(
    'schemaname', p_schema, 'relname', p_partition, 'attname', 'day', 'inherited', false,
    'null_frac', 0::real, 'avg_width', 4, 'n_distinct', 1::real,
    'most_common_vals', format('{%s}', p_day), 'most_common_freqs', '{1}'::real[]);
$$;

CREATE OR REPLACE FUNCTION millrace_make_day(p_schema text, p_table text, p_day date)
RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  name text := public.millrace_day_name(p_table, p_day);
  parameters text;
  columns text;
BEGIN
  IF to_regclass(format('%I.%I', p_schema, name)) IS NOT NULL THEN
    RETURN false;
  END IF;
  SELECT storage INTO STRICT parameters FROM millrace.daily_tables
  WHERE schema_name = p_schema AND table_name = p_table;
  SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns FROM pg_attribute
  WHERE attrelid = format('%I.%I', p_schema, p_table)::regclass
    AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
  -- Filled before it is attached: that locks the table for a moment only.
  EXECUTE format('CREATE TABLE %1$I.%2$I (LIKE %1$I.%3$I INCLUDING ALL) WITH (%4$s)',
    p_schema, name, p_table, parameters);
  EXECUTE format($sql$
    WITH early AS (DELETE FROM %1$I.%2$I WHERE day = %3$L RETURNING %4$s)
    INSERT INTO %1$I.%5$I (%4$s) SELECT %4$s FROM early
    $sql$, p_schema, p_table || '_default', p_day, columns, name);
  EXECUTE format('ALTER TABLE %1$I.%2$I ATTACH PARTITION %1$I.%3$I FOR VALUES FROM (%4$L) TO (%5$L)',
    p_schema, p_table, name, p_day, p_day + 1);
  PERFORM public.millrace_know_day(p_schema, name, p_day);
  RETURN true;
END
$$;

SELECT millrace_know_day(kept.schema_name, c.relname, to_date(right(c.relname, 8), 'YYYYMMDD'))
FROM millrace.daily_tables AS kept
  JOIN pg_inherits AS i
    ON i.inhparent = format('%I.%I', kept.schema_name, kept.table_name)::regclass
  JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE kept.partitioned AND c.relname ~ '_[0-9]{8}$';

-- Down Migration

DROP FUNCTION millrace_know_day(text, text, date) CASCADE;
