-- Up Migration

ALTER TABLE dispatcher.deliveries ADD COLUMN day date;
UPDATE dispatcher.deliveries SET day = (created_at AT TIME ZONE 'UTC')::date;
ALTER TABLE dispatcher.deliveries ALTER COLUMN day SET NOT NULL;
ALTER TABLE dispatcher.delivery_attempts ADD COLUMN day date;
UPDATE dispatcher.delivery_attempts AS attempt SET day = deliveries.day
FROM dispatcher.deliveries WHERE deliveries.id = attempt.delivery_id;
ALTER TABLE dispatcher.delivery_attempts ALTER COLUMN day SET NOT NULL;

SELECT millrace_partition_by_day('dispatcher', 'deliveries', 'fillfactor = 100',
  $$ended_at IS NULL OR ended_at > now() - interval '30 days'$$, NULL);
ALTER TABLE dispatcher.deliveries ADD PRIMARY KEY (id, day);
-- The claim walks from one (tenant, origin) to the next and takes the earliest of each.
CREATE INDEX deliveries_waiting
  ON dispatcher.deliveries (tenant, origin, retry, not_before)
  WHERE state = 'waiting';
-- When the earliest of them falls due.
CREATE INDEX deliveries_due ON dispatcher.deliveries (not_before) WHERE state = 'waiting';
-- The reaper finds what a dead process held.
CREATE INDEX deliveries_owned ON dispatcher.deliveries (owner) WHERE owner IS NOT NULL;

SELECT millrace_partition_by_day('dispatcher', 'delivery_attempts', 'fillfactor = 100',
  NULL, 'deliveries');
ALTER TABLE dispatcher.delivery_attempts ADD PRIMARY KEY (delivery_id, number, day);

-- Down Migration

DROP TABLE dispatcher.deliveries, dispatcher.delivery_attempts;
