-- Up Migration
--
-- Bodies too large to travel in an event. The one schema that all services share, reached only by
-- these functions: nobody may read, list or change its table.

CREATE TABLE blobs.chunks (
  tenant text NOT NULL,
  id text NOT NULL,
  -- Position of this piece, from 0. A piece is at most 1 MiB, so that no row is a huge TOAST value.
  position int NOT NULL,
  bytes bytea NOT NULL CHECK (octet_length(bytes) <= 1048576),
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (tenant, id, position)
);
-- Bodies are written once, read once or twice, and later encrypted: compressing them costs more
-- than it saves.
ALTER TABLE blobs.chunks ALTER COLUMN bytes SET STORAGE EXTERNAL;
CREATE INDEX chunks_expires_at ON blobs.chunks (expires_at);

-- Keeps a body under (tenant, id). The same id again only moves the expiry later: ids derive from
-- causes, so the same id carries the same bytes. One that has expired is written anew.
CREATE FUNCTION blobs.put(p_tenant text, p_id text, p_bytes bytea, p_ttl_seconds int)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO blobs.chunks AS kept (tenant, id, position, bytes, expires_at)
  SELECT p_tenant, p_id, n, substring(p_bytes FROM n * 1048576 + 1 FOR 1048576),
    now() + make_interval(secs => p_ttl_seconds)
  FROM generate_series(0, greatest(octet_length(p_bytes) - 1, 0) / 1048576) AS n
  ON CONFLICT (tenant, id, position)
  DO UPDATE SET
    bytes = CASE WHEN kept.expires_at <= now() THEN excluded.bytes ELSE kept.bytes END,
    expires_at = greatest(kept.expires_at, excluded.expires_at);
$$;

-- The body under (tenant, id); null when there is none, it is another tenant's, or it has expired.
CREATE FUNCTION blobs.get(p_tenant text, p_id text) RETURNS bytea
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT string_agg(bytes, ''::bytea ORDER BY position)
  FROM blobs.chunks
  WHERE tenant = p_tenant AND id = p_id AND expires_at > now();
$$;

-- Deletes at most p_chunks_max expired pieces and says how many: call it until it says 0.
CREATE FUNCTION blobs.purge(p_chunks_max int) RETURNS int
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  WITH expired AS (
    SELECT tenant, id, position FROM blobs.chunks
    WHERE expires_at <= now()
    ORDER BY expires_at
    LIMIT p_chunks_max
    FOR UPDATE SKIP LOCKED
  ), gone AS (
    DELETE FROM blobs.chunks USING expired
    WHERE chunks.tenant = expired.tenant AND chunks.id = expired.id
      AND chunks.position = expired.position
    RETURNING 1
  )
  SELECT count(*)::int FROM gone;
$$;

REVOKE ALL ON FUNCTION blobs.put(text, text, bytea, int), blobs.get(text, text), blobs.purge(int)
  FROM PUBLIC;
GRANT EXECUTE ON FUNCTION blobs.put(text, text, bytea, int), blobs.get(text, text),
  blobs.purge(int)
  TO ingest, claude_worker, agent_orchestrator, webhook_dispatcher;

-- Down Migration

DROP FUNCTION blobs.purge(int);
DROP FUNCTION blobs.get(text, text);
DROP FUNCTION blobs.put(text, text, bytea, int);
DROP TABLE blobs.chunks;
