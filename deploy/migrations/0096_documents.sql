-- Up Migration
--
-- Documents that were uploaded. Their bytes lie in `blobs` in pieces of 1 MiB, each written as it
-- comes in; pieces of an upload that broke off are gone after an hour.

CREATE TABLE ingest.documents (
  tenant text NOT NULL,
  id text NOT NULL,
  name text,
  content_type text NOT NULL,
  bytes bigint NOT NULL,
  sha256 text NOT NULL,
  pieces int NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (tenant, id)
);
CREATE INDEX documents_expires_at ON ingest.documents (expires_at);

SELECT millrace_isolate_tenants('ingest.documents');
GRANT SELECT, INSERT, DELETE ON ingest.documents TO ingest_api;
GRANT SELECT, DELETE ON ingest.documents TO ingest;

-- Moves the expiry of bodies; to the past is to forget them. Which there are not, there are not.
CREATE FUNCTION blobs.keep(p_tenant text, p_ids text[], p_ttl_seconds int) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  UPDATE blobs.chunks SET expires_at = now() + make_interval(secs => p_ttl_seconds)
  WHERE tenant = p_tenant AND id = ANY(p_ids);
$$;
REVOKE ALL ON FUNCTION blobs.keep(text, text[], int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION blobs.keep(text, text[], int) TO ingest;

-- Down Migration

DROP FUNCTION blobs.keep(text, text[], int);
DROP TABLE ingest.documents;
