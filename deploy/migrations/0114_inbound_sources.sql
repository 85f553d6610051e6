-- Up Migration
--
-- Where webhooks of other systems come in. The id is the whole address and cannot be guessed.

CREATE TABLE ingest.inbound_sources (
  tenant text NOT NULL,
  id text NOT NULL,
  name text NOT NULL,
  provider text NOT NULL,
  -- A JSON list of what is believed, newest first, sealed.
  secrets bytea NOT NULL,
  events text[],
  signature_header text,
  delivery_header text,
  template jsonb NOT NULL,
  enabled boolean NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL DEFAULT now(),
  changed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, id)
);
-- A webhook says the id and no tenant.
CREATE UNIQUE INDEX inbound_sources_id ON ingest.inbound_sources (id);

SELECT millrace_isolate_tenants('ingest.inbound_sources');
GRANT SELECT, INSERT, UPDATE, DELETE ON ingest.inbound_sources TO ingest_api;
GRANT SELECT ON ingest.inbound_sources TO ingest;

-- Down Migration

DROP TABLE ingest.inbound_sources;
