-- Up Migration
--
-- Registered receivers of webhooks, and what is known of each lane: of an endpoint, or of the
-- origin of callback URLs, within its tenant.
--
--   enabled ── pause ──> paused      its deliveries wait
--      ^  └── 410, it asks, it fails for days ──> disabled      its deliveries are skipped, and kept
--      └── resume, enable ── from both

CREATE TABLE dispatcher.endpoints (
  tenant            text NOT NULL,
  -- `ep_<ULID>`, and in `deliveries.origin` and `lanes.origin` the lane's name.
  id                text COLLATE "C" NOT NULL,
  url               text NOT NULL,
  description       text NOT NULL DEFAULT '',
  -- The types that it wants; an empty list means all of them.
  event_types       text[] NOT NULL DEFAULT '{}',
  payload           text NOT NULL DEFAULT 'full' CHECK (payload IN ('full', 'thin')),
  -- JSON of the headers that go along, sealed for the place `<tenant>/endpoint/<id>/headers`.
  headers           bytea,
  rate_per_second   real CHECK (rate_per_second > 0),
  in_flight_max     int NOT NULL DEFAULT 10 CHECK (in_flight_max BETWEEN 1 AND 50),
  timeout_ms        int NOT NULL DEFAULT 15000 CHECK (timeout_ms BETWEEN 1000 AND 30000),
  -- Milliseconds before each attempt, the first included; null: as the service is configured.
  schedule_ms       int[] CHECK (cardinality(schedule_ms) BETWEEN 1 AND 12),
  -- JSON list of signing secrets with the time until which each lives, newest first, sealed for
  -- the place `<tenant>/endpoint/<id>`.
  secrets           bytea NOT NULL,
  status            text NOT NULL DEFAULT 'enabled'
    CHECK (status IN ('enabled', 'paused', 'disabled')),
  disabled_reason   text
    CHECK (disabled_reason IN ('gone', 'requested', 'failing', 'blocked', 'operator')),
  status_changed_at timestamptz NOT NULL DEFAULT now(),
  -- The optimistic lock: every change adds one.
  version           int NOT NULL DEFAULT 1,
  created_at        timestamptz NOT NULL DEFAULT now(),
  changed_at        timestamptz NOT NULL DEFAULT now(),
  -- Only a mark, for 60 days: deliveries that are kept still name it.
  deleted_at        timestamptz,
  PRIMARY KEY (tenant, id),
  CHECK ((status = 'disabled') = (disabled_reason IS NOT NULL))
);

-- How a lane fares: every replica reads it, and the statement that settles deliveries writes it.
-- A lane without a row is open and healthy. Pausing and disabling an endpoint close its lane for
-- ever (`infinity`), enabling it opens the lane and forgets what was counted.
CREATE TABLE dispatcher.lanes (
  tenant              text NOT NULL,
  -- An endpoint's id, or the origin of a callback URL.
  origin              text NOT NULL,
  -- Nothing is sent before, but for one probe of an open breaker.
  closed_until        timestamptz,
  closed_why          text CHECK (closed_why IN ('retry_after', 'breaker', 'paused', 'disabled')),
  -- The present cap after a halving; null: its full one.
  in_flight_max       int CHECK (in_flight_max >= 1),
  timeouts_in_a_row   int NOT NULL DEFAULT 0,
  blocked_in_a_row    int NOT NULL DEFAULT 0,
  -- How often the breaker opened in a row, and until when one process may probe.
  opened              int NOT NULL DEFAULT 0,
  probing_until       timestamptz,
  -- What disabling is decided by: failures since the last 2xx, and when the first of them was.
  last_success_at     timestamptz,
  failing_since       timestamptz,
  failures            int NOT NULL DEFAULT 0,
  failing_notified_at timestamptz,
  changed_at          timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, origin),
  CHECK ((closed_until IS NULL) = (closed_why IS NULL))
);
-- Rows of lanes that nobody has used for days are deleted.
CREATE INDEX lanes_unused ON dispatcher.lanes (changed_at);

SELECT millrace_isolate_tenants('dispatcher.endpoints');
SELECT millrace_isolate_tenants('dispatcher.lanes');

GRANT SELECT, INSERT, UPDATE, DELETE ON dispatcher.endpoints, dispatcher.lanes
  TO webhook_dispatcher;
GRANT SELECT, INSERT, UPDATE, DELETE ON dispatcher.endpoints TO webhook_dispatcher_api;
GRANT SELECT, INSERT, UPDATE ON dispatcher.lanes TO webhook_dispatcher_api;

-- Down Migration

DROP TABLE dispatcher.lanes, dispatcher.endpoints;
