-- Up Migration
--
-- `complete_by` of a job: no attempt begins after it, and what waits then is ended.

ALTER TABLE worker.calls ADD COLUMN expires_at timestamptz;

-- Calls that have such a time and wait: of others it knows nothing.
CREATE INDEX calls_expiring ON worker.calls (expires_at)
  WHERE state = 'QUEUED' AND expires_at IS NOT NULL;

-- Down Migration

DROP INDEX worker.calls_expiring;
ALTER TABLE worker.calls DROP COLUMN expires_at;
