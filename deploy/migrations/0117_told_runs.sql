-- Up Migration
--
-- What was told to those who followed a job, for the day after its end: the texts of its attempts
-- and turns, and the steps between them. Only of jobs whose row does not have it: of agents and
-- documents, and of messages that ended without a result.

CREATE TABLE ingest.told_runs (
  tenant      text NOT NULL,
  job_id      text NOT NULL,
  -- JSON list of texts and steps in their order, as the payload codec wrote it.
  run         bytea NOT NULL,
  finished_at timestamptz NOT NULL,
  PRIMARY KEY (tenant, job_id)
);
-- Rows are deleted a day after the job's end.
CREATE INDEX told_runs_old ON ingest.told_runs (finished_at);

SELECT millrace_isolate_tenants('ingest.told_runs');
GRANT SELECT, INSERT, UPDATE, DELETE ON ingest.told_runs TO ingest;
GRANT SELECT ON ingest.told_runs TO ingest_api;

-- Down Migration

DROP TABLE ingest.told_runs;
