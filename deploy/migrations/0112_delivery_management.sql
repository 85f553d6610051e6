-- Up Migration
--
-- What a tenant may see of its deliveries, and send again.

-- Newest first, as they are listed.
CREATE INDEX deliveries_of_tenant ON dispatcher.deliveries (tenant, created_at, id);
-- What was not delivered: a replay of an outage finds it however much was.
CREATE INDEX deliveries_given_up ON dispatcher.deliveries (tenant, created_at, id)
  WHERE state IN ('dead', 'skipped_disabled');

GRANT INSERT (id, day, tenant, job_id, url, origin, body, state, endpoint, event_type,
    traceparent, tracestate),
  UPDATE (state, not_before, code, ended_at, redriven_at, attempts_before)
  ON dispatcher.deliveries TO webhook_dispatcher_api;

-- Down Migration

DROP INDEX dispatcher.deliveries_of_tenant, dispatcher.deliveries_given_up;
REVOKE ALL ON dispatcher.deliveries FROM webhook_dispatcher_api;
GRANT SELECT ON dispatcher.deliveries TO webhook_dispatcher_api;
