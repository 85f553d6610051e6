-- Up Migration
--
-- Deletes bodies that nobody is to read any more. Which there are not, there are not.

CREATE FUNCTION blobs.forget(p_tenant text, p_ids text[]) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  DELETE FROM blobs.chunks WHERE tenant = p_tenant AND id = ANY(p_ids);
$$;
REVOKE ALL ON FUNCTION blobs.forget(text, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION blobs.forget(text, text[]) TO ingest;

-- Down Migration

DROP FUNCTION blobs.forget(text, text[]);
