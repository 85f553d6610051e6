-- Up Migration
--
-- What tool-runner owns. An execution's way:
--
--   waiting ── claimed ──> running ── a result, or a failure for good ──> ended
--      ^                      │
--      └── to be tried again ─┘
--
-- A row is born `running` when the process that inserts it has a free slot, and `ended` when its
-- cancel came before its request.

SELECT millrace_create_outbox('tools');
SELECT millrace_create_processes('tools');

CREATE TABLE tools.tenants (
  tenant     text PRIMARY KEY,
  -- A JSON list of the live signing secrets, newest first, as the payload codec wrote it.
  secrets    bytea NOT NULL,
  changed_at timestamptz NOT NULL
);
SELECT millrace_isolate_tenants('tools.tenants');
GRANT SELECT (tenant, changed_at) ON tools.tenants TO tool_runner_api;

CREATE TABLE tools.tools (
  tenant     text NOT NULL,
  name       text COLLATE "C" NOT NULL,
  -- The one that runs which begin now are given.
  version    int NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  changed_at timestamptz NOT NULL DEFAULT now(),
  -- Only a mark: runs under way keep the versions that they were given.
  deleted_at timestamptz,
  PRIMARY KEY (tenant, name)
);
SELECT millrace_isolate_tenants('tools.tools');

CREATE TABLE tools.tool_versions (
  tenant       text NOT NULL,
  name         text COLLATE "C" NOT NULL,
  version      int NOT NULL,
  -- SHA-256 of the canonical JSON: the same content makes no new version.
  content_hash text NOT NULL,
  -- JSON of the tool as it was given, headers and all, as the payload codec wrote it.
  content      bytea NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT now(),
  -- When another version took its place: long enough ago, no run has it any more.
  replaced_at  timestamptz,
  PRIMARY KEY (tenant, name, version)
);
SELECT millrace_isolate_tenants('tools.tool_versions');

GRANT SELECT, INSERT, UPDATE, DELETE ON tools.tenants TO tool_runner;
GRANT SELECT ON tools.tools, tools.tool_versions TO tool_runner;
GRANT SELECT, INSERT, UPDATE ON tools.tools TO tool_runner_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON tools.tool_versions TO tool_runner_api;

CREATE TABLE tools.executions (
  tenant           text NOT NULL,
  call_id          text COLLATE "C" NOT NULL,
  day              date NOT NULL,
  kind             text NOT NULL CHECK (kind IN ('run', 'describe', 'split')),
  -- JSON of the request as it came, as the payload codec wrote it.
  request          bytea NOT NULL,
  -- Whom it is sent to: with the tenant, what one hanging server is isolated by.
  origin           text NOT NULL,
  traceparent      text,
  tracestate       text,

  state            text NOT NULL CHECK (state IN ('waiting', 'running', 'ended')),
  -- Attempts that came to an end, and those that ended with their process.
  attempts         int NOT NULL DEFAULT 0,
  lost             int NOT NULL DEFAULT 0,
  retry            boolean NOT NULL GENERATED ALWAYS AS (attempts + lost > 0) STORED,
  owner            text,
  cancel_requested boolean NOT NULL DEFAULT false,
  -- While it waits: when it is due. While it runs: when its owner was given it.
  not_before       timestamptz NOT NULL DEFAULT now(),
  -- Nothing is sent after this.
  complete_by      timestamptz,
  created_at       timestamptz NOT NULL DEFAULT now(),
  ended_at         timestamptz,
  -- The event that told of its end, so that a request that comes again is told the same: its type,
  -- and its JSON as the payload codec wrote it.
  completion_type  text,
  completion       bytea,

  CHECK ((state = 'running') = (owner IS NOT NULL)),
  CHECK ((state = 'ended') = (ended_at IS NOT NULL)),
  CHECK ((state = 'ended') = (completion IS NOT NULL AND completion_type IS NOT NULL))
);
SELECT millrace_partition_by_day('tools', 'executions', 'fillfactor = 100',
  $$ended_at IS NULL OR ended_at > now() - interval '30 days'$$, NULL);
ALTER TABLE tools.executions ADD PRIMARY KEY (tenant, call_id, day);
-- The claim walks from one (tenant, origin) to the next and takes the earliest of each.
CREATE INDEX executions_waiting ON tools.executions (tenant, origin, retry, not_before)
  WHERE state = 'waiting';
-- When the earliest of them falls due.
CREATE INDEX executions_due ON tools.executions (not_before) WHERE state = 'waiting';
-- Those whose time to wait may be over.
CREATE INDEX executions_complete_by ON tools.executions (complete_by)
  WHERE state = 'waiting' AND complete_by IS NOT NULL;
-- The reaper finds what a dead process held.
CREATE INDEX executions_owned ON tools.executions (owner) WHERE owner IS NOT NULL;
SELECT millrace_isolate_tenants('tools.executions');
-- Requests hold tokens: who answers one tenant has no business with them.

-- Down Migration

DROP TABLE tools.executions, tools.tool_versions, tools.tools, tools.tenants, tools.processes,
  tools.outbox;
DELETE FROM millrace.daily_tables WHERE schema_name = 'tools';
