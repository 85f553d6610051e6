-- Up Migration
--
-- claude-worker's ledger and queue. A call's row holds its current attempt; an attempt that was
-- closed without ending the call is appended to worker.attempts. The row says DISPATCHED, and is
-- committed, before any byte goes to Claude: what is not here was not paid.

SELECT millrace_create_outbox('worker');
SELECT millrace_create_processes('worker');

CREATE TABLE worker.calls (
  tenant text NOT NULL,
  call_id text NOT NULL,
  -- QUEUED → DISPATCHED → SETTLED (answered) | FAILED (ended without one) | UNKNOWN (ended, and
  -- nobody knows whether the last attempt was paid). A retry goes back to QUEUED.
  state text NOT NULL CHECK (state IN ('QUEUED', 'DISPATCHED', 'SETTLED', 'FAILED', 'UNKNOWN')),
  -- 0 interactive, 1 standard, 2 bulk.
  lane smallint NOT NULL,
  session_id text,
  session_seq int,
  stream boolean NOT NULL,
  -- Null when the parameters lie in blobs.
  model text,
  params bytea,
  params_ref text,
  -- Copied unread to the completion.
  reply bytea NOT NULL,
  -- Where the request came from, for its dead letter: topic, partition, offset, key and headers.
  origin bytea NOT NULL,
  -- The requesting message's `process` span.
  traceparent text,
  tracestate text,
  owner text,
  -- Number of the current attempt: every HTTP send has its own. One that was answered with a 429
  -- was no attempt, and leaves its number to the next.
  attempt int NOT NULL DEFAULT 0,
  -- Attempts that failed and count against the retries.
  failures int NOT NULL DEFAULT 0,
  -- Times that the call was dispatched again after a process went away with it.
  redispatches int NOT NULL DEFAULT 0,
  cancel_requested boolean NOT NULL DEFAULT false,
  not_before timestamptz NOT NULL DEFAULT now(),
  created_at timestamptz NOT NULL DEFAULT now(),
  dispatched_at timestamptz,
  finished_at timestamptz,
  -- The last attempt's answer.
  http_status int,
  request_id text,
  code text,
  -- Type and value of the completion as it was published, to be published again word for word.
  completion_type text,
  completion bytea,
  PRIMARY KEY (tenant, call_id),
  CHECK ((session_id IS NULL) = (session_seq IS NULL)),
  CHECK (state <> 'DISPATCHED' OR (owner IS NOT NULL AND dispatched_at IS NOT NULL)),
  CHECK ((state IN ('SETTLED', 'FAILED', 'UNKNOWN')) = (completion IS NOT NULL))
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
-- Compressing a prompt costs more CPU than the disk it saves.
ALTER TABLE worker.calls ALTER COLUMN params SET STORAGE EXTERNAL;
ALTER TABLE worker.calls ALTER COLUMN completion SET STORAGE EXTERNAL;

-- The claim order. Partial indexes: a settled call is in none of them.
CREATE INDEX calls_queue ON worker.calls (lane, created_at) WHERE state = 'QUEUED';
CREATE INDEX calls_not_before ON worker.calls (not_before) WHERE state = 'QUEUED';
CREATE INDEX calls_owner ON worker.calls (owner) WHERE state = 'DISPATCHED';
CREATE INDEX calls_session ON worker.calls (tenant, session_id, session_seq)
  WHERE session_id IS NOT NULL AND state IN ('QUEUED', 'DISPATCHED');

CREATE TABLE worker.attempts (
  tenant text NOT NULL,
  call_id text NOT NULL,
  number int NOT NULL,
  outcome text NOT NULL CHECK (outcome IN ('succeeded', 'failed', 'unknown')),
  code text,
  http_status int,
  request_id text,
  started_at timestamptz NOT NULL,
  ended_at timestamptz NOT NULL,
  PRIMARY KEY (tenant, call_id, number)
);

-- What a process found out about an attempt that was no longer its own. Append-only: it changes
-- no call, it only lets the spend be counted.
CREATE TABLE worker.late_usage (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant text NOT NULL,
  call_id text NOT NULL,
  attempt int NOT NULL,
  owner text NOT NULL,
  http_status int,
  request_id text,
  model text,
  usage jsonb,
  recorded_at timestamptz NOT NULL DEFAULT now()
);

-- A conversation. Its turns are appended, never rewritten.
CREATE TABLE worker.sessions (
  tenant text NOT NULL,
  session_id text NOT NULL,
  -- The highest turn that ended, in whatever way.
  last_seq int NOT NULL,
  PRIMARY KEY (tenant, session_id)
) WITH (fillfactor = 80);

CREATE TABLE worker.session_turns (
  tenant text NOT NULL,
  session_id text NOT NULL,
  seq int NOT NULL,
  -- JSON array: the turn's own messages and the assistant's answer, unmodified.
  messages bytea NOT NULL,
  PRIMARY KEY (tenant, session_id, seq)
);
ALTER TABLE worker.session_turns ALTER COLUMN messages SET STORAGE EXTERNAL;

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA worker TO claude_worker;
-- The ledger's past is not rewritten by the service that writes it.
REVOKE UPDATE ON worker.attempts, worker.late_usage FROM claude_worker;

-- Down Migration

DROP TABLE worker.session_turns, worker.sessions, worker.late_usage, worker.attempts,
  worker.calls, worker.processes, worker.outbox;
