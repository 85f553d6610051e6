-- Up Migration
--
-- One login role and one schema for each service. The roles own nothing: the role that runs the
-- migrations owns every table, and a service gets what its own schema's migration grants.
-- Passwords are set by whoever starts the stack, never here.

-- Roles belong to the cluster, not to this database, so two databases that are migrated at once
-- race here. The lock orders those within one database, the exception handler all others.
DO $$
DECLARE
  role_name text;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('millrace.roles'));
  FOREACH role_name IN ARRAY
    ARRAY['ingest', 'claude_worker', 'agent_orchestrator', 'webhook_dispatcher']
  LOOP
    CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = role_name);
    BEGIN
      EXECUTE format(
        'CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS',
        role_name);
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
      NULL; -- Another database's migration made it meanwhile.
    END;
  END LOOP;
END
$$;

-- Nothing is open to everyone: not the database, not public, not a function that is made later.
DO $$
BEGIN
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
  EXECUTE format(
    'GRANT CONNECT ON DATABASE %I TO ingest, claude_worker, agent_orchestrator, webhook_dispatcher',
    current_database());
END
$$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

CREATE SCHEMA ingest;
CREATE SCHEMA worker;
CREATE SCHEMA orchestrator;
CREATE SCHEMA dispatcher;
CREATE SCHEMA blobs;
REVOKE ALL ON SCHEMA ingest, worker, orchestrator, dispatcher, blobs FROM PUBLIC;

GRANT USAGE ON SCHEMA ingest TO ingest;
GRANT USAGE ON SCHEMA worker TO claude_worker;
GRANT USAGE ON SCHEMA orchestrator TO agent_orchestrator;
GRANT USAGE ON SCHEMA dispatcher TO webhook_dispatcher;
-- Usage of the schema lets a role call the functions granted to it; its table is granted to none.
GRANT USAGE ON SCHEMA blobs TO ingest, claude_worker, agent_orchestrator, webhook_dispatcher;

-- The role that works in a schema. Unknown schema: an error, not a table without an owner.
CREATE FUNCTION millrace_role_of(schema_name text) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN CASE schema_name
    WHEN 'ingest' THEN 'ingest'
    WHEN 'worker' THEN 'claude_worker'
    WHEN 'orchestrator' THEN 'agent_orchestrator'
    WHEN 'dispatcher' THEN 'webhook_dispatcher'
  END;
EXCEPTION WHEN case_not_found THEN
  RAISE EXCEPTION 'no service owns schema %', schema_name;
END
$$;

-- Messages committed together with the state that they tell of; deleted when Kafka has them.
-- Rows come and go at the rate of the jobs, so vacuum goes by count and not by share of the table.
CREATE FUNCTION millrace_create_outbox(schema_name text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format($sql$
    CREATE TABLE %1$I.outbox (
      id text PRIMARY KEY,
      topic text NOT NULL,
      key text,
      headers jsonb NOT NULL,
      value bytea,
      created_at timestamptz NOT NULL DEFAULT now()
    ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
    ALTER TABLE %1$I.outbox ALTER COLUMN value SET STORAGE EXTERNAL;
    CREATE INDEX outbox_created_at ON %1$I.outbox (created_at);
    GRANT SELECT, INSERT, UPDATE, DELETE ON %1$I.outbox TO %2$I;
  $sql$, schema_name, millrace_role_of(schema_name));
END
$$;

-- One row for each process that holds work of this schema's queue: its lease, renewed by
-- heartbeats in the database's time.
CREATE FUNCTION millrace_create_processes(schema_name text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format($sql$
    CREATE TABLE %1$I.processes (
      id text PRIMARY KEY,
      lease_until timestamptz NOT NULL,
      started_at timestamptz NOT NULL DEFAULT clock_timestamp()
    ) WITH (fillfactor = 50);
    GRANT SELECT, INSERT, UPDATE, DELETE ON %1$I.processes TO %2$I;
  $sql$, schema_name, millrace_role_of(schema_name));
END
$$;

-- Down Migration

DROP FUNCTION millrace_create_processes(text);
DROP FUNCTION millrace_create_outbox(text);
DROP FUNCTION millrace_role_of(text);
DROP SCHEMA blobs, dispatcher, orchestrator, worker, ingest;
