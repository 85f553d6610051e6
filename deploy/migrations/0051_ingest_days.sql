-- Up Migration
--
-- Ids and idempotency keys, unique over days: the one small row that decides whether a submission
-- is a new job. It goes with its job's day.
CREATE TABLE ingest.job_keys (
  tenant text NOT NULL,
  id text NOT NULL,
  idempotency_key text,
  day date NOT NULL,
  PRIMARY KEY (tenant, id)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.05);
CREATE UNIQUE INDEX job_keys_idempotency_key ON ingest.job_keys (tenant, idempotency_key)
  WHERE idempotency_key IS NOT NULL;
CREATE INDEX job_keys_day ON ingest.job_keys USING brin (day);

INSERT INTO ingest.job_keys
SELECT tenant, id, idempotency_key, (created_at AT TIME ZONE 'UTC')::date FROM ingest.jobs;

ALTER TABLE ingest.jobs ADD COLUMN day date;
UPDATE ingest.jobs SET day = (created_at AT TIME ZONE 'UTC')::date;
ALTER TABLE ingest.jobs ALTER COLUMN day SET NOT NULL;
-- A row is written once and updated once or twice: the room lets those updates stay on its page,
-- and no index holds what they change.
SELECT millrace_partition_by_day('ingest', 'jobs', 'fillfactor = 70',
  $$finished_at IS NULL OR finished_at > now() - interval '30 days'$$, NULL);
ALTER TABLE ingest.jobs ADD PRIMARY KEY (tenant, id, day);
CREATE INDEX jobs_newest ON ingest.jobs (tenant, created_at DESC, id DESC);
CREATE INDEX jobs_of_session ON ingest.jobs (tenant, session_id, created_at DESC, id DESC)
  WHERE session_id IS NOT NULL;

ALTER TABLE ingest.session_turns ADD COLUMN day date;
UPDATE ingest.session_turns AS turn SET day = jobs.day
FROM ingest.jobs WHERE jobs.tenant = turn.tenant AND jobs.id = turn.job_id;
ALTER TABLE ingest.session_turns ALTER COLUMN day SET NOT NULL;
CREATE INDEX session_turns_day ON ingest.session_turns USING brin (day);

INSERT INTO millrace.daily_tables VALUES
  ('ingest', 'job_keys', '', NULL, 'jobs', false),
  ('ingest', 'session_turns', '', NULL, 'jobs', false);

GRANT SELECT, INSERT, UPDATE, DELETE ON ingest.job_keys TO ingest;

-- Down Migration

DROP TABLE ingest.jobs, ingest.job_keys, ingest.session_turns;
