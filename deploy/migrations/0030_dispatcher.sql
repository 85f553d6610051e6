-- Up Migration
--
-- What webhook-dispatcher owns. A delivery's way:
--
--   waiting ── claimed ──> sending ── 2xx ────────────────────> delivered
--      ^                      ├────── 410, receiver says stop ─> stopped
--      └── to be tried again ─┤
--                             └────── blocked, exhausted ──────> dead (and a dead letter)
--
-- A row is born `sending` when the process that inserts it has a free slot.

SELECT millrace_create_outbox('dispatcher');
SELECT millrace_create_processes('dispatcher');

CREATE TABLE dispatcher.tenants (
  tenant     text PRIMARY KEY,
  -- A JSON list of the live signing secrets, newest first, as the payload codec wrote it.
  secrets    bytea NOT NULL,
  changed_at timestamptz NOT NULL
);

CREATE TABLE dispatcher.deliveries (
  -- The `webhook-id` that the receiver sees; derived from the event's `ce_id`.
  id               text COLLATE "C" PRIMARY KEY,
  tenant           text NOT NULL,
  job_id           text NOT NULL,
  url              text NOT NULL,
  -- Scheme, host and port of `url`: with the tenant, what one hanging receiver is isolated by.
  origin           text NOT NULL,
  -- The bytes that are signed and sent, as the payload codec wrote them.
  body             bytea NOT NULL,
  traceparent      text,
  tracestate       text,

  state            text NOT NULL
    CHECK (state IN ('waiting', 'sending', 'delivered', 'stopped', 'dead')),
  attempts         int NOT NULL DEFAULT 0,
  retry            boolean NOT NULL GENERATED ALWAYS AS (attempts > 0) STORED,
  owner            text,
  -- While it waits: when it is due. While it is being sent: when its owner was given it.
  not_before       timestamptz NOT NULL DEFAULT now(),
  -- The error code of a stopped or dead delivery.
  code             text,
  created_at       timestamptz NOT NULL DEFAULT now(),
  ended_at         timestamptz,

  -- The record that caused it, untouched, so that a dead letter can carry it. Given up at the end.
  record_topic     text NOT NULL,
  record_partition int NOT NULL,
  record_offset    bigint NOT NULL,
  record_key       text,
  record_headers   jsonb NOT NULL,
  record_value     bytea,

  CHECK ((state = 'sending') = (owner IS NOT NULL)),
  CHECK ((state IN ('delivered', 'stopped', 'dead')) = (ended_at IS NOT NULL))
);

-- The claim walks from one (tenant, origin) to the next and takes the earliest of each.
CREATE INDEX deliveries_waiting
  ON dispatcher.deliveries (tenant, origin, retry, not_before)
  WHERE state = 'waiting';
-- When the earliest of them falls due.
CREATE INDEX deliveries_due ON dispatcher.deliveries (not_before) WHERE state = 'waiting';
-- The reaper finds what a dead process held.
CREATE INDEX deliveries_owned ON dispatcher.deliveries (owner) WHERE owner IS NOT NULL;

-- What the receivers answered, one row for each POST that was counted.
CREATE TABLE dispatcher.delivery_attempts (
  delivery_id   text COLLATE "C" NOT NULL,
  number        int NOT NULL,
  tenant        text NOT NULL,
  outcome       text NOT NULL,
  -- The class of a failure, as it may be shown to the tenant; null for a 2xx.
  class         text,
  status        int,
  -- At most 16 KiB of the response's body, as the payload codec wrote it.
  body_excerpt  bytea,
  dns_ms        real,
  connect_ms    real,
  first_byte_ms real,
  total_ms      real NOT NULL,
  started_at    timestamptz NOT NULL,
  PRIMARY KEY (delivery_id, number)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA dispatcher TO webhook_dispatcher;

-- Down Migration

DROP TABLE dispatcher.delivery_attempts;
DROP TABLE dispatcher.deliveries;
DROP TABLE dispatcher.tenants;
DROP TABLE dispatcher.processes;
DROP TABLE dispatcher.outbox;
