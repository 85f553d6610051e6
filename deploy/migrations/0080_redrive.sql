-- Up Migration
--
-- Trying again what was given up. The count is what a redrive compares and swaps: of two at once
-- one publishes. The rows' own tables say what became of it, so there is no table of redrives.

ALTER TABLE ingest.dead_letters
  ADD COLUMN redrive_count int NOT NULL DEFAULT 0,
  ADD COLUMN redriven_at timestamptz,
  -- The job that the last redrive made, when the letter was a job's.
  ADD COLUMN redrive_job_id text,
  ADD CHECK ((redrive_count > 0) = (redriven_at IS NOT NULL));

-- The failed job that this one does again.
ALTER TABLE ingest.jobs ADD COLUMN redrive_of text;

ALTER TABLE dispatcher.deliveries
  -- The redrive that woke this delivery last: its record may come twice.
  ADD COLUMN redriven_by text,
  ADD COLUMN redriven_at timestamptz,
  -- Attempts that were made before it: the schedule begins anew.
  ADD COLUMN attempts_before int NOT NULL DEFAULT 0;

-- Down Migration

ALTER TABLE dispatcher.deliveries
  DROP COLUMN redriven_by, DROP COLUMN redriven_at, DROP COLUMN attempts_before;
ALTER TABLE ingest.jobs DROP COLUMN redrive_of;
ALTER TABLE ingest.dead_letters
  DROP COLUMN redrive_count, DROP COLUMN redriven_at, DROP COLUMN redrive_job_id;
