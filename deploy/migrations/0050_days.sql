-- Up Migration
--
-- Tables with a row for each job are kept by days: a partition for each day, dropped as a whole
-- when all that is in it ended long enough ago. A row's `day` is the UTC day on which its job was
-- accepted. Events carry that time, so the day follows from the cause, and (tenant, id, day) is as
-- unique as (tenant, id). Rows of a day that has no partition, or none any more, go to `_default`.

CREATE TABLE millrace.daily_tables (
  schema_name text NOT NULL,
  table_name text NOT NULL,
  -- Storage parameters of each day's partition.
  storage text NOT NULL,
  -- Which of a day's rows still hold it; null: it stays as long as that of the table it follows.
  held_by text,
  follows text,
  -- False for a table of narrow rows without partitions: a day's rows are deleted.
  partitioned boolean NOT NULL,
  PRIMARY KEY (schema_name, table_name),
  CHECK ((held_by IS NULL) = (follows IS NOT NULL))
);

CREATE FUNCTION millrace_day_name(p_table text, p_day date) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
  SELECT p_table || '_' || to_char(p_day, 'YYYYMMDD');
$$;

-- Makes a day's partition and moves into it what came before it. False when it is there already.
CREATE FUNCTION millrace_make_day(p_schema text, p_table text, p_day date) RETURNS boolean
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
  RETURN true;
END
$$;

-- Whether a day's rows of this table are still needed.
CREATE FUNCTION millrace_day_is_needed(p_table millrace.daily_tables, p_day date)
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
  IF to_regclass(format('%I.%I', p_table.schema_name, source)) IS NULL THEN
    source := coalesce(p_table.follows, p_table.table_name) || '_default';
  ELSIF p_table.follows IS NOT NULL THEN
    RETURN true;
  END IF;
  EXECUTE format('SELECT EXISTS (SELECT FROM %I.%I WHERE day = %L AND (%s))',
    p_table.schema_name, source, p_day, rule) INTO needed;
  RETURN needed;
END
$$;

-- Makes the partitions of the days to come and drops those that nothing needs any more. Waits for
-- a lock no longer than a moment: whoever calls it comes again.
CREATE FUNCTION millrace_keep_days(
  p_schema text, p_table text, OUT made int, OUT dropped int
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
  today date := (now() AT TIME ZONE 'UTC')::date;
  kept millrace.daily_tables;
  old date;
BEGIN
  made := 0;
  dropped := 0;
  IF session_user <> public.millrace_role_of(p_schema)
    AND NOT pg_has_role(session_user, current_user, 'MEMBER') THEN
    RAISE insufficient_privilege USING MESSAGE = 'only the service of this schema keeps its days';
  END IF;
  -- Rows that this role does not see would seem not to be needed.
  IF NOT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user) THEN
    RAISE insufficient_privilege USING MESSAGE = 'the owner of the tables needs BYPASSRLS';
  END IF;
  IF NOT pg_try_advisory_xact_lock(hashtext('millrace.days.' || p_schema), hashtext(p_table)) THEN
    RETURN;
  END IF;
  SELECT * INTO STRICT kept FROM millrace.daily_tables
  WHERE schema_name = p_schema AND table_name = p_table;
  IF kept.partitioned THEN
    FOR ahead IN 0..2 LOOP
      made := made + public.millrace_make_day(p_schema, p_table, today + ahead)::int;
    END LOOP;
    FOR old IN
      SELECT to_date(right(c.relname, 8), 'YYYYMMDD')
      FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
      WHERE i.inhparent = format('%I.%I', p_schema, p_table)::regclass
        AND c.relname ~ '_[0-9]{8}$' AND to_date(right(c.relname, 8), 'YYYYMMDD') < today - 30
      ORDER BY 1
    LOOP
      CONTINUE WHEN public.millrace_day_is_needed(kept, old);
      EXECUTE format('DROP TABLE %I.%I', p_schema, public.millrace_day_name(p_table, old));
      dropped := dropped + 1;
    END LOOP;
  END IF;
  FOR old IN EXECUTE format('SELECT DISTINCT day FROM %I.%I WHERE day < %L', p_schema,
    p_table || CASE WHEN kept.partitioned THEN '_default' ELSE '' END, today - 30)
  LOOP
    CONTINUE WHEN public.millrace_day_is_needed(kept, old);
    EXECUTE format('DELETE FROM %I.%I WHERE day = %L', p_schema,
      p_table || CASE WHEN kept.partitioned THEN '_default' ELSE '' END, old);
    dropped := dropped + 1;
  END LOOP;
END
$$;

-- The tables that a service keeps by days.
CREATE FUNCTION millrace_daily_tables(p_schema text) RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT table_name FROM millrace.daily_tables
  WHERE schema_name = p_schema ORDER BY follows NULLS FIRST, table_name;
$$;

GRANT EXECUTE ON FUNCTION millrace_keep_days(text, text), millrace_daily_tables(text)
  TO ingest, claude_worker, agent_orchestrator, webhook_dispatcher;
GRANT USAGE ON SCHEMA public TO ingest, claude_worker, agent_orchestrator, webhook_dispatcher;

-- Turns a table with a column `day` into one that is kept by days, with all that is in it. Its keys
-- and indexes are made anew by who calls this.
CREATE FUNCTION millrace_partition_by_day(
  p_schema text, p_table text, p_storage text, p_held_by text, p_follows text
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  role_name text := public.millrace_role_of(p_schema);
  columns text;
BEGIN
  SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns FROM pg_attribute
  WHERE attrelid = format('%I.%I', p_schema, p_table)::regclass
    AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
  EXECUTE format('ALTER TABLE %I.%I RENAME TO %I', p_schema, p_table, p_table || '_undivided');
  EXECUTE format(
    'CREATE TABLE %1$I.%2$I (LIKE %1$I.%3$I INCLUDING ALL EXCLUDING INDEXES)
     PARTITION BY RANGE (day)',
    p_schema, p_table, p_table || '_undivided');
  INSERT INTO millrace.daily_tables
    VALUES (p_schema, p_table, p_storage, p_held_by, p_follows, true);
  EXECUTE format('CREATE TABLE %1$I.%2$I PARTITION OF %1$I.%3$I DEFAULT WITH (%4$s)',
    p_schema, p_table || '_default', p_table, p_storage);
  EXECUTE format('INSERT INTO %1$I.%2$I (%3$s) SELECT %3$s FROM %1$I.%4$I',
    p_schema, p_table || '_default', columns, p_table || '_undivided');
  EXECUTE format('DROP TABLE %I.%I', p_schema, p_table || '_undivided');
  EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I.%I TO %I',
    p_schema, p_table, role_name);
  PERFORM public.millrace_keep_days(p_schema, p_table);
END
$$;

-- Down Migration

DROP FUNCTION millrace_partition_by_day(text, text, text, text, text);
DROP FUNCTION millrace_daily_tables(text);
DROP FUNCTION millrace_keep_days(text, text);
DROP FUNCTION millrace_day_is_needed(millrace.daily_tables, date);
DROP FUNCTION millrace_make_day(text, text, date);
DROP FUNCTION millrace_day_name(text, date);
DROP TABLE millrace.daily_tables;
