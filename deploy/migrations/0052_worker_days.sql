-- Up Migration

ALTER TABLE worker.calls ADD COLUMN day date;
UPDATE worker.calls SET day = (created_at AT TIME ZONE 'UTC')::date;
ALTER TABLE worker.calls ALTER COLUMN day SET NOT NULL;
ALTER TABLE worker.attempts ADD COLUMN day date;
UPDATE worker.attempts AS attempt SET day = calls.day
FROM worker.calls WHERE calls.tenant = attempt.tenant AND calls.call_id = attempt.call_id;
ALTER TABLE worker.attempts ALTER COLUMN day SET NOT NULL;

SELECT millrace_partition_by_day('worker', 'calls',
  'autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000',
  $$completion IS NULL OR finished_at > now() - interval '30 days'$$, NULL);
ALTER TABLE worker.calls ADD PRIMARY KEY (tenant, call_id, day);
-- The claim order. Partial indexes: a settled call is in none of them.
CREATE INDEX calls_queue ON worker.calls (lane, created_at) WHERE state = 'QUEUED';
CREATE INDEX calls_not_before ON worker.calls (not_before) WHERE state = 'QUEUED';
CREATE INDEX calls_owner ON worker.calls (owner) WHERE state = 'DISPATCHED';
CREATE INDEX calls_session ON worker.calls (tenant, session_id, session_seq)
  WHERE session_id IS NOT NULL AND state IN ('QUEUED', 'DISPATCHED');

SELECT millrace_partition_by_day('worker', 'attempts', 'fillfactor = 100', NULL, 'calls');
ALTER TABLE worker.attempts ADD PRIMARY KEY (tenant, call_id, number, day);
-- The ledger's past is not rewritten by the service that writes it.
REVOKE UPDATE ON worker.attempts FROM claude_worker;

-- Down Migration

DROP TABLE worker.calls, worker.attempts;
