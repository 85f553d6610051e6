-- Up Migration
--
-- To find the few jobs that failed, were ended early or wait for somebody among millions that did
-- not. An index of `ingest.jobs` by status would cost every job: the two changes of its status
-- would no longer stay on its page. These rows are written for the few alone, by a trigger, so that
-- no statement which changes a status can forget them; and they go with their job's day.

CREATE TABLE ingest.jobs_by_status (
  tenant text NOT NULL,
  id text NOT NULL,
  status text NOT NULL,
  created_at timestamptz NOT NULL,
  day date NOT NULL,
  PRIMARY KEY (tenant, id, day)
);
CREATE INDEX jobs_by_status_newest
  ON ingest.jobs_by_status (tenant, status, created_at DESC, id DESC);
CREATE INDEX jobs_by_status_day ON ingest.jobs_by_status USING brin (day);

INSERT INTO ingest.jobs_by_status
SELECT tenant, id, status, created_at, day FROM ingest.jobs
WHERE status NOT IN ('queued', 'running', 'succeeded');

CREATE FUNCTION ingest.note_status() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO ingest.jobs_by_status VALUES (NEW.tenant, NEW.id, NEW.status, NEW.created_at, NEW.day)
  ON CONFLICT (tenant, id, day) DO UPDATE SET status = excluded.status;
  RETURN NULL;
END
$$;
CREATE FUNCTION ingest.forget_status() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM ingest.jobs_by_status AS noted
  WHERE noted.tenant = NEW.tenant AND noted.id = NEW.id AND noted.day = NEW.day;
  RETURN NULL;
END
$$;
CREATE TRIGGER jobs_begin_noted AFTER INSERT ON ingest.jobs FOR EACH ROW
  WHEN (NEW.status NOT IN ('queued', 'running', 'succeeded'))
  EXECUTE FUNCTION ingest.note_status();
CREATE TRIGGER jobs_become_noted AFTER UPDATE OF status ON ingest.jobs FOR EACH ROW
  WHEN (NEW.status NOT IN ('queued', 'running', 'succeeded') AND NEW.status <> OLD.status)
  EXECUTE FUNCTION ingest.note_status();
CREATE TRIGGER jobs_no_longer_noted AFTER UPDATE OF status ON ingest.jobs FOR EACH ROW
  WHEN (NEW.status IN ('queued', 'running', 'succeeded')
    AND OLD.status NOT IN ('queued', 'running', 'succeeded'))
  EXECUTE FUNCTION ingest.forget_status();

INSERT INTO millrace.daily_tables VALUES ('ingest', 'jobs_by_status', '', NULL, 'jobs', false);
SELECT millrace_isolate_tenants('ingest.jobs_by_status');
GRANT SELECT, INSERT, UPDATE, DELETE ON ingest.jobs_by_status TO ingest;
GRANT SELECT ON ingest.jobs_by_status TO ingest_api;

-- The same for agents and documents among messages. A job's type does not change.
CREATE INDEX jobs_of_type ON ingest.jobs (tenant, type, created_at DESC, id DESC)
  WHERE type <> 'message';

-- Down Migration

DROP INDEX ingest.jobs_of_type;
DROP TRIGGER jobs_begin_noted ON ingest.jobs;
DROP TRIGGER jobs_become_noted ON ingest.jobs;
DROP TRIGGER jobs_no_longer_noted ON ingest.jobs;
DROP FUNCTION ingest.note_status(), ingest.forget_status();
DELETE FROM millrace.daily_tables WHERE table_name = 'jobs_by_status';
DROP TABLE ingest.jobs_by_status;
