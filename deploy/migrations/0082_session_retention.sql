-- Up Migration
--
-- A user's conversation goes when nobody has used it for long. Its row in `sessions` stays and goes on
-- counting: the numbers of its turns do, and each waits for the one before it.

-- The UTC day of the last turn that ended; null when there is nothing to go: a workflow's conversation
-- goes with its job, and of others the turns have gone. A day, so that it changes seldom: what changes
-- in an index costs an update its place on the page.
ALTER TABLE worker.sessions ADD COLUMN used_on date DEFAULT (now() AT TIME ZONE 'UTC')::date;
CREATE INDEX sessions_used_on ON worker.sessions (used_on) WHERE used_on IS NOT NULL;

-- Down Migration

ALTER TABLE worker.sessions DROP COLUMN used_on;
