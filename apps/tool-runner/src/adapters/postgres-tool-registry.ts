import {
  ProblemError,
  toolsPerTenantMax,
  type PayloadCodec,
  type ToolList,
  type ToolSubmission,
  type ToolView,
} from '@millrace/contracts';
import type { TenantDatabase } from '@millrace/postgres';

import { contentHash, contentJson } from '../core/tool-content.ts';
import { viewOf } from '../core/tool.ts';
import { ToolRegistry } from '../ports.ts';
import { toolOfRow, type VersionRow } from './postgres-tools.ts';

/** Days after which no run has a version any more that another one replaced: twice a run's most. */
const replacedDaysMax = 60;
/** Versions of a tool that are kept: a change every hour and a half, for as long as that. */
const versionsPerToolMax = 1_000;

interface ToolRow extends VersionRow {
  readonly created_at: Date;
  readonly changed_at: Date;
}

interface PutRow extends ToolRow {
  /** What did not let the tool be written; the rest is null then. */
  readonly full: 'tools' | 'versions' | null;
}

const columns = 't.tenant, t.name, t.version, t.created_at, t.changed_at, v.content';

/** One after the other of each tenant, or two at once would both find room for the last one. */
const lockSql = `SELECT pg_advisory_xact_lock(hashtext('millrace.tools.' || $1))`;

const pruneSql = `
  DELETE FROM tools.tool_versions WHERE tenant = $1 AND name = $2
    AND replaced_at < now() - interval '${replacedDaysMax} days'`;

/** The same content makes no new version; one that was deleted is there again. */
const putSql = `
  WITH known AS (
    SELECT t.version, v.content_hash = $3 AS same
    FROM tools.tools AS t JOIN tools.tool_versions AS v USING (tenant, name, version)
    WHERE t.tenant = $1 AND t.name = $2
  ), room AS (
    SELECT CASE
      WHEN (SELECT count(*) FROM tools.tools
            WHERE tenant = $1 AND name <> $2 AND deleted_at IS NULL) >= ${toolsPerTenantMax}
        THEN 'tools'
      WHEN NOT coalesce((SELECT same FROM known), false)
        AND (SELECT count(*) FROM tools.tool_versions
             WHERE tenant = $1 AND name = $2) >= ${versionsPerToolMax}
        THEN 'versions'
      END AS "full"
  ), made AS (
    INSERT INTO tools.tool_versions AS v (tenant, name, version, content_hash, content)
    SELECT $1, $2, coalesce((SELECT version FROM known), 0) + 1, $3, $4
    FROM room WHERE "full" IS NULL AND NOT coalesce((SELECT same FROM known), false)
    RETURNING v.version
  ), replaced AS (
    UPDATE tools.tool_versions AS v SET replaced_at = now()
    FROM made, known
    WHERE v.tenant = $1 AND v.name = $2 AND v.version = known.version
  ), put AS (
    INSERT INTO tools.tools AS t (tenant, name, version)
    SELECT $1, $2, coalesce((SELECT version FROM made), (SELECT version FROM known))
    FROM room WHERE "full" IS NULL
    ON CONFLICT (tenant, name) DO UPDATE SET
      version = excluded.version,
      changed_at = CASE WHEN t.version = excluded.version AND t.deleted_at IS NULL
        THEN t.changed_at ELSE now() END,
      deleted_at = NULL
    RETURNING t.tenant, t.name, t.version, t.created_at, t.changed_at
  )
  SELECT put.*, $4::bytea AS content, room."full" FROM room LEFT JOIN put ON true`;

const getSql = `
  SELECT ${columns}
  FROM tools.tools AS t JOIN tools.tool_versions AS v USING (tenant, name, version)
  WHERE t.tenant = $1 AND t.name = $2 AND t.deleted_at IS NULL`;

const listSql = `
  SELECT ${columns}
  FROM tools.tools AS t JOIN tools.tool_versions AS v USING (tenant, name, version)
  WHERE t.tenant = $1 AND t.name > $2 AND t.deleted_at IS NULL ORDER BY t.name LIMIT $3`;

const removeSql = `
  UPDATE tools.tools SET deleted_at = now(), changed_at = now()
  WHERE tenant = $1 AND name = $2 AND deleted_at IS NULL`;

/** Tools of one tenant at a time, under row level security. */
export class PostgresToolRegistry extends ToolRegistry {
  constructor(
    private readonly database: TenantDatabase,
    private readonly codec: PayloadCodec,
  ) {
    super();
  }

  async put(tenant: string, name: string, content: ToolSubmission): Promise<ToolView> {
    const json = contentJson(content);
    const bytes = this.codec.encode(Buffer.from(json), { tenant, medium: 'table' });
    const { rows } = await this.database.queryLast<PutRow>(tenant, [
      { text: lockSql, values: [tenant] },
      { text: pruneSql, values: [tenant, name] },
      { text: putSql, values: [tenant, name, contentHash(json), bytes] },
    ]);
    const [row] = rows;
    if (row === undefined) throw new TypeError('a statement without a row');
    if (row.full === 'tools') {
      throw new ProblemError('limit_reached', `a tenant has at most ${toolsPerTenantMax} tools`);
    }
    if (row.full === 'versions') {
      const detail = `a tool has at most ${versionsPerToolMax} versions in ${replacedDaysMax} days`;
      throw new ProblemError('limit_reached', detail);
    }
    return this.viewOfRow(row);
  }

  async get(tenant: string, name: string): Promise<ToolView | null> {
    const { rows } = await this.database.query<ToolRow>(tenant, {
      text: getSql,
      values: [tenant, name],
    });
    const [row] = rows;
    return row === undefined ? null : this.viewOfRow(row);
  }

  async list(tenant: string, page: { after: string; limit: number }): Promise<ToolList> {
    const { after, limit } = page;
    const { rows } = await this.database.query<ToolRow>(tenant, {
      text: listSql,
      values: [tenant, after, limit + 1],
    });
    const data = rows.slice(0, limit).map((row) => this.viewOfRow(row));
    const last = rows.length > limit ? data.at(-1) : undefined;
    return { data, next_cursor: last === undefined ? null : encodeCursor(last.name) };
  }

  async remove(tenant: string, name: string): Promise<boolean> {
    const { rowCount } = await this.database.query(tenant, {
      text: removeSql,
      values: [tenant, name],
    });
    return rowCount === 1;
  }

  private viewOfRow(row: ToolRow): ToolView {
    const { created_at: createdAt, changed_at: changedAt } = row;
    return viewOf({ ...toolOfRow(row, this.codec), createdAt, changedAt });
  }
}

function encodeCursor(name: string): string {
  return Buffer.from(name).toString('base64url');
}
