-- Up Migration
--
-- A delivery to each receiver of an event, and lanes that say by themselves when to look at them.

ALTER TABLE dispatcher.deliveries
  -- What the receiver drops copies by. A callback's delivery has it for its id, an endpoint's adds
  -- the endpoint to it, `<webhook_id>.<endpoint>`: those of a webhook are a range of ids.
  ADD COLUMN webhook_id text COLLATE "C"
    GENERATED ALWAYS AS (split_part(id, '.', 1)) VIRTUAL,
  -- Null for a job's own `callback_url`.
  ADD COLUMN endpoint text COLLATE "C",
  -- Null in rows of an older release: there the record's `ce_type` says it.
  ADD COLUMN event_type text,
  -- A notice is about no job; an endpoint's delivery keeps no record, since it makes no dead letter.
  ALTER COLUMN job_id DROP NOT NULL,
  ALTER COLUMN record_topic DROP NOT NULL,
  ALTER COLUMN record_partition DROP NOT NULL,
  ALTER COLUMN record_offset DROP NOT NULL,
  ALTER COLUMN record_headers DROP NOT NULL;

-- `skipped_disabled`: its endpoint was disabled. It is kept like what has ended, for a replay.
DO $$
DECLARE
  found record;
BEGIN
  FOR found IN
    SELECT conname FROM pg_constraint
    WHERE conrelid = 'dispatcher.deliveries'::regclass AND contype = 'c'
  LOOP
    EXECUTE format('ALTER TABLE dispatcher.deliveries DROP CONSTRAINT %I', found.conname);
  END LOOP;
END
$$;
ALTER TABLE dispatcher.deliveries
  ADD CONSTRAINT deliveries_state_check CHECK (state IN
    ('waiting', 'sending', 'delivered', 'stopped', 'dead', 'skipped_disabled')),
  ADD CONSTRAINT deliveries_owner_check CHECK ((state = 'sending') = (owner IS NOT NULL)),
  ADD CONSTRAINT deliveries_end_check CHECK (
    (state IN ('delivered', 'stopped', 'dead', 'skipped_disabled')) = (ended_at IS NOT NULL));

ALTER TABLE dispatcher.delivery_attempts ADD COLUMN tls_ms real;

ALTER TABLE dispatcher.lanes
  -- When it is its turn: at once while something in it is due, never later than the next of it, null
  -- when nothing waits. Whoever makes a row wait lowers it in the same statement, and only a claim
  -- that has seen all of the lane raises it.
  ADD COLUMN due_at timestamptz,
  -- Counted up by whoever lowers `due_at`: a claim that began before knows that it missed a row.
  ADD COLUMN woken bigint NOT NULL DEFAULT 0,
  -- When a claim looks at it: a closed lane costs no look, however much waits in it.
  ADD COLUMN ready_at timestamptz GENERATED ALWAYS AS (
    CASE WHEN due_at IS NOT NULL THEN greatest(due_at, closed_until, probing_until) END) STORED;
ALTER TABLE dispatcher.lanes SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 5000);
CREATE INDEX lanes_ready ON dispatcher.lanes (ready_at) WHERE ready_at IS NOT NULL;
-- Beside many lanes of one tenant those of the others are found by their tenants.
CREATE INDEX lanes_ready_by_tenant ON dispatcher.lanes (tenant, ready_at)
  WHERE ready_at IS NOT NULL;
-- By now only the net walks from lane to lane of what waits: the claim knows when each is due.
DROP INDEX dispatcher.deliveries_due;

INSERT INTO dispatcher.lanes (tenant, origin, due_at)
SELECT tenant, origin, min(not_before) FROM dispatcher.deliveries
WHERE state = 'waiting' GROUP BY tenant, origin;

-- Down Migration

DELETE FROM dispatcher.deliveries WHERE endpoint IS NOT NULL OR job_id IS NULL;
CREATE INDEX deliveries_due ON dispatcher.deliveries (not_before) WHERE state = 'waiting';
ALTER TABLE dispatcher.lanes DROP COLUMN ready_at, DROP COLUMN due_at, DROP COLUMN woken;
ALTER TABLE dispatcher.delivery_attempts DROP COLUMN tls_ms;
ALTER TABLE dispatcher.deliveries
  DROP CONSTRAINT deliveries_state_check, DROP CONSTRAINT deliveries_owner_check,
  DROP CONSTRAINT deliveries_end_check,
  DROP COLUMN webhook_id, DROP COLUMN endpoint, DROP COLUMN event_type,
  ALTER COLUMN job_id SET NOT NULL, ALTER COLUMN record_topic SET NOT NULL,
  ALTER COLUMN record_partition SET NOT NULL, ALTER COLUMN record_offset SET NOT NULL,
  ALTER COLUMN record_headers SET NOT NULL;
