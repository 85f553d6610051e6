-- Up Migration
--
-- Secrets are sealed anew after a change of keys, of all tenants at once.

GRANT UPDATE (secrets) ON ingest.inbound_sources TO ingest;

-- Down Migration

REVOKE UPDATE (secrets) ON ingest.inbound_sources FROM ingest;
