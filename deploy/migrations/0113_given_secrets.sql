-- Up Migration
--
-- The secret that the deployment gave the tenant `default` last, as its SHA-256: while it gives the
-- same, a start leaves alone what the tenant rotated to since.

ALTER TABLE ingest.tenants ADD COLUMN given_secret_hash bytea;

-- Down Migration

ALTER TABLE ingest.tenants DROP COLUMN given_secret_hash;
