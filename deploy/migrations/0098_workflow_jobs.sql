-- Up Migration
--
-- What the rows of agents and documents tell beside those of messages.
ALTER TABLE ingest.jobs
  -- Version of the workflow that its status was told of: what was told of an earlier one is late.
  ADD COLUMN status_version int NOT NULL DEFAULT 0,
  -- The job whose first steps this one took over.
  ADD COLUMN fork_of text;

-- Down Migration

ALTER TABLE ingest.jobs DROP COLUMN status_version, DROP COLUMN fork_of;
