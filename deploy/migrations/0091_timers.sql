-- Up Migration
--
-- When a workflow is to be woken. A row goes with the event that it causes, in the same statement,
-- so it fires once; who takes it says so by `not_before`, and dies without harm.

CREATE TABLE orchestrator.timers (
  tenant text NOT NULL,
  id text NOT NULL,
  name text NOT NULL,
  -- Of the workflow's job.
  day date NOT NULL,
  -- Version of the workflow that set it: the same name set anew is another timer.
  version int NOT NULL,
  due_at timestamptz NOT NULL,
  not_before timestamptz NOT NULL,
  PRIMARY KEY (tenant, id, name)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX timers_due ON orchestrator.timers (not_before);
GRANT SELECT, INSERT, UPDATE, DELETE ON orchestrator.timers TO agent_orchestrator;

-- What happens to a workflow while no release here can go on with it, in order.
CREATE TABLE orchestrator.parked_events (
  tenant text NOT NULL,
  id text NOT NULL,
  day date NOT NULL,
  event_id text NOT NULL,
  position bigint GENERATED ALWAYS AS IDENTITY,
  event bytea NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, id, event_id)
);
ALTER TABLE orchestrator.parked_events ALTER COLUMN event SET STORAGE EXTERNAL;
GRANT SELECT, INSERT, DELETE ON orchestrator.parked_events TO agent_orchestrator;
INSERT INTO millrace.daily_tables VALUES
  ('orchestrator', 'parked_events', '', NULL, 'workflows', false);

-- Down Migration

DELETE FROM millrace.daily_tables WHERE table_name = 'parked_events';
DROP TABLE orchestrator.timers, orchestrator.parked_events;
