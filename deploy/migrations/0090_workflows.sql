-- Up Migration
--
-- A workflow is a row and a journal. A step compares and swaps the row's `version` and appends what
-- happened under that version, in one statement. `request` and `state` are bodies: the first never
-- changes, the second with every version.

SELECT millrace_create_outbox('orchestrator');

CREATE TABLE orchestrator.workflows (
  tenant text NOT NULL,
  id text NOT NULL,
  day date NOT NULL,
  kind text NOT NULL,
  -- Of the reducer that wrote the state.
  schema_version int NOT NULL,
  -- Events so far: the optimistic lock.
  version int NOT NULL,
  status text NOT NULL,
  -- Why no release here can go on with it; null: it is not parked.
  parked_code text,
  -- What asked for it, without the parameters: they are in the journal.
  request bytea NOT NULL,
  state bytea NOT NULL,
  -- Of the job's one trace, for what no record causes.
  traceparent text,
  tracestate text,
  started_at timestamptz NOT NULL DEFAULT now(),
  ended_at timestamptz
);
-- Written anew with every version: neither compressed nor, up to a page, moved out of the row.
ALTER TABLE orchestrator.workflows
  ALTER COLUMN request SET STORAGE EXTERNAL,
  ALTER COLUMN state SET STORAGE EXTERNAL;

CREATE TABLE orchestrator.journal (
  tenant text NOT NULL,
  id text NOT NULL,
  day date NOT NULL,
  -- The version that the event led to.
  version int NOT NULL,
  -- What makes a second copy known.
  event_id text NOT NULL,
  event bytea NOT NULL,
  -- What it was answered with, so that it can be said again.
  commands bytea NOT NULL,
  at timestamptz NOT NULL
);
ALTER TABLE orchestrator.journal
  ALTER COLUMN event SET STORAGE EXTERNAL,
  ALTER COLUMN commands SET STORAGE EXTERNAL;

-- The room left in each page is for the next version of its rows: no index knows of it.
SELECT millrace_partition_by_day('orchestrator', 'workflows',
  'fillfactor = 50, toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0, '
    'autovacuum_vacuum_threshold = 10000',
  $$ended_at IS NULL OR ended_at > now() - interval '30 days'$$, NULL);
ALTER TABLE orchestrator.workflows ADD PRIMARY KEY (tenant, id, day);
CREATE INDEX workflows_parked ON orchestrator.workflows (parked_code)
  WHERE parked_code IS NOT NULL;
-- Those that go on, to be counted.
CREATE INDEX workflows_open ON orchestrator.workflows (status) WHERE ended_at IS NULL;

SELECT millrace_partition_by_day('orchestrator', 'journal', 'fillfactor = 100', NULL, 'workflows');
ALTER TABLE orchestrator.journal ADD PRIMARY KEY (tenant, id, version, day);
CREATE UNIQUE INDEX journal_events ON orchestrator.journal (tenant, id, event_id, day);
-- The past is not rewritten by the service that writes it.
REVOKE UPDATE ON orchestrator.journal FROM agent_orchestrator;

-- Down Migration

DELETE FROM millrace.daily_tables WHERE schema_name = 'orchestrator';
DROP TABLE orchestrator.workflows, orchestrator.journal, orchestrator.outbox;
