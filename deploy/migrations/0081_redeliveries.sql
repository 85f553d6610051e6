-- Up Migration
--
-- Telling again: a tenant's wish that the ends of its jobs, from a time on, are published once
-- more. The row is the place in the walk, moved by the transaction that writes the events to the
-- outbox: whichever process goes on, no end is passed over.
CREATE TABLE ingest.redeliveries (
  tenant text NOT NULL,
  id text NOT NULL,
  state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done')),
  since timestamptz NOT NULL,
  until timestamptz NOT NULL,
  -- Hash of what the caller asked: who asks for the same again gets this one.
  request_hash bytea NOT NULL,
  published int NOT NULL DEFAULT 0,
  -- First the jobs that were accepted since then, then those before that ended late.
  leg text NOT NULL DEFAULT 'since' CHECK (leg IN ('since', 'before')),
  -- Everything of the leg up to this job was looked at.
  after_created_at timestamptz NOT NULL,
  after_id text NOT NULL DEFAULT '',
  -- Tenants take turns by it.
  stepped_at timestamptz NOT NULL DEFAULT '-infinity',
  created_at timestamptz NOT NULL,
  finished_at timestamptz,
  PRIMARY KEY (tenant, id),
  CHECK (since < until),
  CHECK ((state = 'done') = (finished_at IS NOT NULL))
) WITH (fillfactor = 50);
-- One of a tenant at a time: a second would tell the same once more.
CREATE UNIQUE INDEX redeliveries_running ON ingest.redeliveries (tenant) WHERE state = 'running';
CREATE INDEX redeliveries_newest ON ingest.redeliveries (tenant, created_at DESC, id DESC);
CREATE INDEX redeliveries_finished ON ingest.redeliveries (finished_at);

SELECT millrace_isolate_tenants('ingest.redeliveries');
GRANT SELECT, INSERT, UPDATE, DELETE ON ingest.redeliveries TO ingest;
GRANT SELECT, INSERT ON ingest.redeliveries TO ingest_api;

-- When a step was taken last, of whichever redelivery: one row, which one process at a time holds.
CREATE TABLE ingest.redelivery_pace (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  stepped_at timestamptz NOT NULL
);
INSERT INTO ingest.redelivery_pace (stepped_at) VALUES (now());
GRANT SELECT, UPDATE ON ingest.redelivery_pace TO ingest;

-- Down Migration

DROP TABLE ingest.redelivery_pace, ingest.redeliveries;
