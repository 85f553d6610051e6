-- Up Migration
--
-- A workflow's conversation is kept like its calls, by the day of its job, and goes when they have
-- gone. Users' sessions have no day: they end when someone ends them.

ALTER TABLE worker.sessions ADD COLUMN day date;
CREATE INDEX sessions_day ON worker.sessions USING brin (day);
ALTER TABLE worker.session_turns ADD COLUMN day date;
CREATE INDEX session_turns_day ON worker.session_turns USING brin (day);

INSERT INTO millrace.daily_tables VALUES
  ('worker', 'sessions', '', NULL, 'calls', false),
  ('worker', 'session_turns', '', NULL, 'calls', false);

-- Down Migration

DELETE FROM millrace.daily_tables
WHERE schema_name = 'worker' AND table_name IN ('sessions', 'session_turns');
ALTER TABLE worker.session_turns DROP COLUMN day;
ALTER TABLE worker.sessions DROP COLUMN day;
