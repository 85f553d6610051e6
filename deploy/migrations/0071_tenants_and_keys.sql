-- Up Migration
--
-- Tenants can be disabled: their keys stop working and their topic waits, and nothing is deleted.
-- Keys get a name of their own, so that they can be listed and revoked without being shown.

ALTER TABLE ingest.tenants ADD COLUMN disabled_at timestamptz;
GRANT SELECT (disabled_at) ON ingest.tenants TO ingest_api;

ALTER TABLE ingest.api_keys
  -- Derived from the hash, so a key has one name wherever it is worked out.
  ADD COLUMN id text NOT NULL
    GENERATED ALWAYS AS ('key_' || left(encode(key_hash, 'hex'), 32)) STORED,
  -- The key's last four characters; empty for keys that were made before they were kept.
  ADD COLUMN last4 text NOT NULL DEFAULT '' CHECK (length(last4) <= 4),
  -- To the minute: a lookup notes it when the last note is older.
  ADD COLUMN last_used_at timestamptz;
CREATE UNIQUE INDEX api_keys_id ON ingest.api_keys (tenant, id);

GRANT SELECT (id, last4, last_used_at),
  INSERT (key_hash, tenant, label, last4),
  UPDATE (revoked_at)
  ON ingest.api_keys TO ingest_api;

-- Down Migration

DROP INDEX ingest.api_keys_id;
ALTER TABLE ingest.api_keys DROP COLUMN id, DROP COLUMN last4, DROP COLUMN last_used_at;
ALTER TABLE ingest.tenants DROP COLUMN disabled_at;
