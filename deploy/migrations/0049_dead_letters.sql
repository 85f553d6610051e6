-- Up Migration
--
-- What lies in the dead letter topics, so that it can be listed and read. The tenant is empty for
-- a record whose owner nobody knows: no tenant's key sees it.

CREATE TABLE ingest.dead_letters (
  tenant text NOT NULL,
  -- Derived from the letter's place in its dead letter topic: read twice, it is one row.
  id text NOT NULL,
  -- Where the record lay before it became a dead letter.
  topic text NOT NULL,
  record_partition int NOT NULL,
  record_offset text NOT NULL,
  code text NOT NULL,
  detail text NOT NULL,
  service text NOT NULL,
  -- JSON list of names and base64 values, in their order.
  headers bytea NOT NULL,
  record_key bytea,
  value bytea,
  at timestamptz NOT NULL,
  PRIMARY KEY (tenant, id)
);

CREATE INDEX dead_letters_newest ON ingest.dead_letters (tenant, at DESC, id DESC);

GRANT SELECT, INSERT, UPDATE, DELETE ON ingest.dead_letters TO ingest;

-- Down Migration

DROP TABLE ingest.dead_letters;
