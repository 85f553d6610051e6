-- Up Migration
--
-- A fifth service, tool-runner, with its schema and its two roles, as 0001 and 0070 made the others.

DO $$
DECLARE
  role_name text;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('millrace.roles'));
  FOREACH role_name IN ARRAY ARRAY['tool_runner', 'tool_runner_api'] LOOP
    CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = role_name);
    BEGIN
      EXECUTE format(
        'CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS',
        role_name);
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
      NULL; -- Another database's migration made it meanwhile.
    END;
  END LOOP;
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO tool_runner, tool_runner_api',
    current_database());
END
$$;

CREATE SCHEMA tools;
REVOKE ALL ON SCHEMA tools FROM PUBLIC;
GRANT USAGE ON SCHEMA tools TO tool_runner, tool_runner_api;
GRANT USAGE ON SCHEMA blobs TO tool_runner, tool_runner_api;
GRANT USAGE ON SCHEMA public TO tool_runner;

CREATE OR REPLACE FUNCTION millrace_role_of(schema_name text) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN CASE schema_name
    WHEN 'ingest' THEN 'ingest'
    WHEN 'worker' THEN 'claude_worker'
    WHEN 'orchestrator' THEN 'agent_orchestrator'
    WHEN 'tools' THEN 'tool_runner'
    WHEN 'dispatcher' THEN 'webhook_dispatcher'
  END;
EXCEPTION WHEN case_not_found THEN
  RAISE EXCEPTION 'no service owns schema %', schema_name;
END
$$;

GRANT EXECUTE ON FUNCTION millrace_keep_days(text, text), millrace_daily_tables(text),
  blobs.put(text, text, bytea, int), blobs.get(text, text), blobs.purge(int)
  TO tool_runner;
GRANT EXECUTE ON FUNCTION blobs.get_own(text) TO tool_runner_api;

-- Down Migration

REVOKE ALL ON FUNCTION millrace_keep_days(text, text), millrace_daily_tables(text),
  blobs.put(text, text, bytea, int), blobs.get(text, text), blobs.purge(int)
  FROM tool_runner;
REVOKE ALL ON FUNCTION blobs.get_own(text) FROM tool_runner_api;
REVOKE USAGE ON SCHEMA blobs FROM tool_runner, tool_runner_api;
REVOKE USAGE ON SCHEMA public FROM tool_runner;
DROP SCHEMA tools;
