-- Up Migration
--
-- Jobs with a time of their own: `run_at`, until which nobody runs them, and `complete_by`.

ALTER TABLE ingest.jobs ADD COLUMN run_at timestamptz, ADD COLUMN complete_by timestamptz;

-- Jobs that wait for their `run_at`. Whoever deletes the row decides what becomes of the job: its
-- release, a cancel or its expiry. So no index on the jobs themselves holds what changes of them.
CREATE TABLE ingest.releases (
  tenant text NOT NULL,
  id text NOT NULL,
  day date NOT NULL,
  run_at timestamptz NOT NULL,
  PRIMARY KEY (tenant, id, day)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX releases_due ON ingest.releases (run_at);

-- Released jobs of which nobody has heard for long: their requests are published again. Rows come
-- by the day's jobs that have not ended in time, and go when they have.
CREATE TABLE ingest.silent_jobs (
  tenant text NOT NULL,
  id text NOT NULL,
  day date NOT NULL,
  next_at timestamptz NOT NULL,
  -- How often its request was published again.
  times int NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant, id, day)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX silent_jobs_due ON ingest.silent_jobs (next_at);

-- How far the jobs were looked through, by their time of acceptance, and when requests were last
-- published again: one row, which one process at a time holds.
CREATE TABLE ingest.silence (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  looked_until timestamptz NOT NULL,
  republished_at timestamptz NOT NULL
);
INSERT INTO ingest.silence (looked_until, republished_at) VALUES (now(), now());

-- Jobs are appended in about the order of their acceptance, and this never changes of them.
CREATE INDEX jobs_accepted ON ingest.jobs USING brin (created_at) WITH (autosummarize = on);

GRANT SELECT, INSERT, UPDATE, DELETE ON ingest.releases, ingest.silent_jobs TO ingest;
GRANT SELECT, UPDATE ON ingest.silence TO ingest;

-- Down Migration

DROP INDEX ingest.jobs_accepted;
DROP TABLE ingest.silence, ingest.silent_jobs, ingest.releases;
ALTER TABLE ingest.jobs DROP COLUMN run_at, DROP COLUMN complete_by;
