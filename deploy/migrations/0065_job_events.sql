-- Up Migration
--
-- What happened to a job between its acceptance and its end, as far as its own row does not say
-- it: for its timeline. Rare rows; a job that goes well and fast has none. Row level security
-- comes with that of all tables in 0070.
CREATE TABLE ingest.job_events (
  tenant text NOT NULL,
  job_id text NOT NULL,
  -- Derives from what caused the event, so that one that is told twice is one row.
  id text NOT NULL,
  -- JSON of the event as the timeline shows it, as the payload codec wrote it.
  event bytea NOT NULL,
  day date NOT NULL
);
SELECT millrace_partition_by_day('ingest', 'job_events', 'fillfactor = 100', NULL, 'jobs');
ALTER TABLE ingest.job_events ADD PRIMARY KEY (tenant, job_id, id, day);

-- Down Migration

DROP TABLE ingest.job_events;
DELETE FROM millrace.daily_tables WHERE schema_name = 'ingest' AND table_name = 'job_events';
