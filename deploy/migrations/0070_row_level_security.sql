-- Up Migration
--
-- Two roles for each service. The roles of 0001 (`ingest`, `claude_worker`, …) are the pipelines:
-- they work on batches of many tenants, and keep their names. The `_api` roles answer one caller:
-- row level security shows them the tenant in `app.tenant`, which holds for one transaction, and
-- without it nothing. Neither owns a table, and neither may bypass or change any of this.

-- As in 0001: roles belong to the cluster, and two databases may be migrated at once.
DO $$
DECLARE
  role_name text;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('millrace.roles'));
  FOREACH role_name IN ARRAY
    ARRAY['ingest_api', 'claude_worker_api', 'agent_orchestrator_api', 'webhook_dispatcher_api']
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
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO
    ingest_api, claude_worker_api, agent_orchestrator_api, webhook_dispatcher_api',
    current_database());
END
$$;

GRANT USAGE ON SCHEMA ingest TO ingest_api;
GRANT USAGE ON SCHEMA worker TO claude_worker_api;
GRANT USAGE ON SCHEMA orchestrator TO agent_orchestrator_api;
GRANT USAGE ON SCHEMA dispatcher TO webhook_dispatcher_api;
GRANT USAGE ON SCHEMA blobs
  TO ingest_api, claude_worker_api, agent_orchestrator_api, webhook_dispatcher_api;

-- Puts a table with a column `tenant` under row level security. Call it for every such table that a
-- later migration makes; a partition needs none of its own, as nobody may read it by itself. What
-- the `_api` role may do with the rows that it sees is granted beside the call.
CREATE FUNCTION millrace_isolate_tenants(target regclass, tenant_column text DEFAULT 'tenant')
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  role_name text := millrace_role_of(
    (SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = target));
BEGIN
  -- A setting that was local to an earlier transaction is left empty, not absent; and '' is the
  -- owner of dead letters that belong to nobody.
  EXECUTE format($sql$
    ALTER TABLE %1$s ENABLE ROW LEVEL SECURITY;
    ALTER TABLE %1$s FORCE ROW LEVEL SECURITY;
    CREATE POLICY pipeline ON %1$s TO %2$I USING (true) WITH CHECK (true);
    CREATE POLICY api ON %1$s TO %3$I
      USING (%4$I = nullif(current_setting('app.tenant', true), ''))
      WITH CHECK (%4$I = nullif(current_setting('app.tenant', true), ''));
  $sql$, target, role_name, role_name || '_api', tenant_column);
END
$$;

-- All that there is by now; the `_api` roles read it, secrets and hashes apart.
DO $$
DECLARE
  target record;
BEGIN
  FOR target IN
    SELECT c.oid::regclass AS name, c.relnamespace::regnamespace::text AS schema_name
    FROM pg_class AS c
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'tenant' AND NOT a.attisdropped
    WHERE c.relnamespace::regnamespace::text
        IN ('ingest', 'worker', 'orchestrator', 'dispatcher')
      AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    ORDER BY 1
  LOOP
    PERFORM millrace_isolate_tenants(target.name);
    CONTINUE WHEN target.name::text IN ('ingest.api_keys', 'dispatcher.tenants');
    EXECUTE format('GRANT SELECT ON %s TO %I',
      target.name, millrace_role_of(target.schema_name) || '_api');
  END LOOP;
END
$$;

SELECT millrace_isolate_tenants('ingest.tenants', 'id');
GRANT SELECT (id, created_at, changed_at) ON ingest.tenants TO ingest_api;
GRANT SELECT (tenant, changed_at) ON dispatcher.tenants TO webhook_dispatcher_api;
-- Of a key everything but its hash; nothing of it changes but that it is revoked (0071).
GRANT SELECT (tenant, label, created_at, revoked_at) ON ingest.api_keys TO ingest_api;

-- The table of blobs is reached by functions that run as its owner, so the owner has a policy.
ALTER TABLE blobs.chunks ENABLE ROW LEVEL SECURITY;
ALTER TABLE blobs.chunks FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON blobs.chunks TO CURRENT_USER USING (true) WITH CHECK (true);

-- `blobs.get` believes whoever calls it, so it is for the pipelines. This one takes no tenant.
CREATE FUNCTION blobs.get_own(p_id text) RETURNS bytea
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT string_agg(bytes, ''::bytea ORDER BY position)
  FROM blobs.chunks
  WHERE tenant = nullif(current_setting('app.tenant', true), '')
    AND id = p_id AND expires_at > now();
$$;
REVOKE ALL ON FUNCTION blobs.get_own(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION blobs.get_own(text)
  TO ingest_api, claude_worker_api, agent_orchestrator_api, webhook_dispatcher_api;

-- Down Migration

DROP FUNCTION blobs.get_own(text);
DROP POLICY owner ON blobs.chunks;
ALTER TABLE blobs.chunks NO FORCE ROW LEVEL SECURITY;
ALTER TABLE blobs.chunks DISABLE ROW LEVEL SECURITY;
DO $$
DECLARE
  policy record;
BEGIN
  FOR policy IN
    SELECT polname, polrelid::regclass AS target FROM pg_policy WHERE polname IN ('pipeline', 'api')
  LOOP
    EXECUTE format('DROP POLICY %I ON %s', policy.polname, policy.target);
    EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', policy.target);
    EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', policy.target);
  END LOOP;
END
$$;
DROP FUNCTION millrace_isolate_tenants(regclass, text);
