-- Up Migration
--
-- What the front door owns: tenants, their keys, and every job's row. Bodies are bytea, written
-- through the payload codec: a \u0000 in a prompt would make jsonb refuse the whole batch.

CREATE TABLE ingest.tenants (
  id text PRIMARY KEY,
  -- JSON list of the signing secrets, newest first.
  webhook_secrets bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  changed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE ingest.api_keys (
  -- SHA-256 of the key: the key is 256 random bits, so a slow hash would protect nothing.
  key_hash bytea PRIMARY KEY CHECK (octet_length(key_hash) = 32),
  tenant text NOT NULL REFERENCES ingest.tenants (id),
  label text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  revoked_at timestamptz
);

CREATE TABLE ingest.jobs (
  tenant text NOT NULL,
  id text NOT NULL,
  type text NOT NULL,
  status text NOT NULL,
  lane text NOT NULL,
  source text NOT NULL CHECK (source IN ('http', 'kafka')),
  session_id text,
  model text,
  idempotency_key text,
  -- Hash of what the caller asked, whatever the order of its keys.
  request_hash bytea NOT NULL,
  -- Ended here before it was handed to anyone.
  refused boolean NOT NULL,
  -- Data of the event that this row published first (the request; of a refused job its end),
  -- without session_seq: a repeated submission publishes it again.
  first_event bytea NOT NULL,
  traceparent text NOT NULL,
  metadata bytea,
  created_at timestamptz NOT NULL,
  finished_at timestamptz,
  -- JSON of error, usage, attempts, stand_in: read with every list.
  outcome bytea,
  -- JSON of result and message: read for one job at a time.
  answer bytea,
  PRIMARY KEY (tenant, id)
-- A row is written once and updated once or twice: the room lets those updates stay on its page,
-- and no index holds what they change.
) WITH (fillfactor = 70);
ALTER TABLE ingest.jobs
  ALTER COLUMN first_event SET STORAGE EXTERNAL,
  ALTER COLUMN answer SET STORAGE EXTERNAL;

CREATE UNIQUE INDEX jobs_idempotency_key ON ingest.jobs (tenant, idempotency_key)
  WHERE idempotency_key IS NOT NULL;
CREATE INDEX jobs_newest ON ingest.jobs (tenant, created_at DESC, id DESC);
CREATE INDEX jobs_of_session ON ingest.jobs (tenant, session_id, created_at DESC, id DESC)
  WHERE session_id IS NOT NULL;

-- The last place given in each session's order.
CREATE TABLE ingest.sessions (
  tenant text NOT NULL,
  id text NOT NULL,
  last_seq int NOT NULL,
  PRIMARY KEY (tenant, id)
) WITH (fillfactor = 50);

-- Each job's place in its session: dense from 1, written by the statement that inserts the job.
CREATE TABLE ingest.session_turns (
  tenant text NOT NULL,
  job_id text NOT NULL,
  session_id text NOT NULL,
  seq int NOT NULL,
  PRIMARY KEY (tenant, job_id),
  UNIQUE (tenant, session_id, seq)
);

SELECT millrace_create_outbox('ingest');

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ingest TO ingest;

-- Down Migration

DROP TABLE ingest.outbox, ingest.session_turns, ingest.sessions, ingest.jobs, ingest.api_keys,
  ingest.tenants;
