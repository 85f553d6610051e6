import {
  inboundProviderSchema,
  inboundSourcesPerTenantMax,
  inboundTemplateSchema,
  tenantIdSchema,
  type TenantId,
} from '@millrace/contracts';
import type { Pool, SealedColumn, TenantDatabase } from '@millrace/postgres';
import type { SecretBox } from '@millrace/runtime';
import { z } from 'zod';

import type {
  InboundSource,
  InboundSourceState,
  NewInboundSource,
} from '../core/inbound-source.ts';
import type { TenantQuery } from '../core/tenant-query.ts';
import { InboundSources } from '../ports.ts';

interface SourceRow {
  readonly tenant: string;
  readonly id: string;
  readonly name: string;
  readonly provider: string;
  readonly secrets: Buffer;
  readonly events: string[] | null;
  readonly signature_header: string | null;
  readonly delivery_header: string | null;
  readonly template: unknown;
  readonly enabled: boolean;
  readonly created_at: Date;
  readonly changed_at: Date;
}

const columns = `tenant, id, name, provider, secrets, events, signature_header, delivery_header,
  template, enabled, created_at, changed_at`;

/** Whose a source is: none that is switched off, and none of a tenant that is. */
const receiveText = `
SELECT ${columns.replaceAll(/\w+/g, 's.$&')} FROM ingest.inbound_sources AS s
JOIN ingest.tenants ON tenants.id = s.tenant
WHERE s.id = $1 AND s.enabled AND tenants.disabled_at IS NULL`;

/** One after the other for each tenant, or two at once could both see room for one. */
const lockText = `SELECT pg_advisory_xact_lock(hashtext('ingest.inbound_sources'), hashtext($1))`;

const createText = `
INSERT INTO ingest.inbound_sources
  (tenant, id, name, provider, secrets, events, signature_header, delivery_header, template)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9
WHERE (SELECT count(*) FROM ingest.inbound_sources WHERE tenant = $1) < $10
RETURNING ${columns}`;

const findText = `SELECT ${columns} FROM ingest.inbound_sources WHERE tenant = $1 AND id = $2`;

/** Only of the state that it was decided on. */
const changeText = `
UPDATE ingest.inbound_sources
SET name = $4, secrets = $5, events = $6, template = $7, enabled = $8,
  changed_at = greatest(clock_timestamp(), changed_at + interval '1 microsecond')
WHERE tenant = $1 AND id = $2 AND date_trunc('milliseconds', changed_at) = $3
RETURNING ${columns}`;

const listText = `
SELECT ${columns} FROM ingest.inbound_sources
WHERE tenant = $1
  AND ($2::timestamptz IS NULL OR (date_trunc('milliseconds', created_at), id) < ($2, $3))
ORDER BY date_trunc('milliseconds', created_at) DESC, id DESC
LIMIT $4`;

const removeText = 'DELETE FROM ingest.inbound_sources WHERE tenant = $1 AND id = $2';

const secretsSchema = z.array(z.string()).min(1);

/** Where the secrets of sources are kept. */
export const inboundSecretsColumn: SealedColumn = {
  table: 'ingest.inbound_sources',
  column: 'secrets',
  key: ['tenant', 'id'],
  placeOf: (tenant, id) => placeOf({ tenant, id }),
};

/** Whose a source is, is asked by the pipeline's role; everything else runs for one tenant. */
export class PostgresInboundSources extends InboundSources {
  readonly #o: { readonly pool: Pool; readonly own: TenantDatabase; readonly box: SecretBox };

  constructor(o: { pool: Pool; own: TenantDatabase; box: SecretBox }) {
    super();
    this.#o = o;
  }

  async receiving(id: string): Promise<InboundSource | null> {
    const query = { name: 'receiving_source', text: receiveText, values: [id] };
    const { rows } = await this.#o.pool.query<SourceRow>(query);
    return this.#first(rows);
  }

  async create(source: NewInboundSource): Promise<InboundSource | null> {
    const { tenant } = source;
    const values = [
      tenant,
      source.id,
      source.name,
      source.provider,
      this.#seal(source, source.secrets),
      source.events,
      source.signatureHeader,
      source.deliveryHeader,
      JSON.stringify(source.template),
      inboundSourcesPerTenantMax,
    ];
    const { rows } = await this.#o.own.queryLast<SourceRow>(tenant, [
      { text: lockText, values: [tenant] },
      { text: createText, values },
    ]);
    return this.#first(rows);
  }

  async find(tenant: TenantId, id: string): Promise<InboundSource | null> {
    const query = { text: findText, values: [tenant, id] };
    const { rows } = await this.#o.own.query<SourceRow>(tenant, query);
    return this.#first(rows);
  }

  async list(tenant: TenantId, { cursor, limit }: TenantQuery): Promise<InboundSource[]> {
    const after = cursor === undefined ? null : new Date(cursor.createdAtMs).toISOString();
    const values = [tenant, after, cursor?.id ?? null, limit + 1];
    const { rows } = await this.#o.own.query<SourceRow>(tenant, { text: listText, values });
    return rows.map((row) => this.#source(row));
  }

  async change(source: InboundSource, to: InboundSourceState): Promise<InboundSource | null> {
    const values = [
      source.tenant,
      source.id,
      source.changedAt.toISOString(),
      to.name,
      this.#seal(source, to.secrets),
      to.events,
      JSON.stringify(to.template),
      to.enabled,
    ];
    const query = { text: changeText, values };
    const { rows } = await this.#o.own.query<SourceRow>(source.tenant, query);
    return this.#first(rows);
  }

  async remove(tenant: TenantId, id: string): Promise<boolean> {
    const { rowCount } = await this.#o.own.query(tenant, {
      text: removeText,
      values: [tenant, id],
    });
    return rowCount === 1;
  }

  #first(rows: readonly SourceRow[]): InboundSource | null {
    const [row] = rows;
    return row === undefined ? null : this.#source(row);
  }

  #seal(source: Pick<InboundSource, 'id' | 'tenant'>, secrets: readonly string[]): Buffer {
    return this.#o.box.seal(JSON.stringify(secrets), placeOf(source));
  }

  #source(row: SourceRow): InboundSource {
    const tenant = tenantIdSchema.parse(row.tenant);
    const { id } = row;
    const secrets = this.#o.box.open(row.secrets, placeOf({ tenant, id }));
    return {
      id,
      tenant,
      name: row.name,
      provider: inboundProviderSchema.parse(row.provider),
      secrets: secretsSchema.parse(JSON.parse(secrets)),
      events: row.events,
      signatureHeader: row.signature_header,
      deliveryHeader: row.delivery_header,
      template: inboundTemplateSchema.parse(row.template),
      enabled: row.enabled,
      createdAt: row.created_at,
      changedAt: row.changed_at,
    };
  }
}

function placeOf({ id, tenant }: { readonly id: string; readonly tenant: string }): string {
  return `${tenant}/inbound/${id}`;
}
