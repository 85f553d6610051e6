-- Up Migration
--
-- What waits beside parked workflows is walked in its order, a page at a time.

CREATE INDEX parked_events_position ON orchestrator.parked_events (position);

-- Down Migration

DROP INDEX orchestrator.parked_events_position;
