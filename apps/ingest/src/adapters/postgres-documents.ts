import {
  documentManifestRef,
  documentPieceRef,
  documentsPerTenantMax,
  type DocumentManifest,
  type DocumentView,
  type PayloadCodec,
  type TenantId,
} from '@millrace/contracts';
import type { Blobs, Pool, TenantDatabase } from '@millrace/postgres';

import type { DocumentQuery } from '../core/document-upload.ts';
import { Documents, type NewDocument } from '../ports.ts';

interface DocumentRow {
  readonly id: string;
  readonly name: string | null;
  readonly content_type: string;
  readonly bytes: string;
  readonly sha256: string;
  readonly pieces: number;
  readonly created_at: Date;
  readonly expires_at: Date;
}

/** As long as a job's row is kept, and a day: 31 days. */
const ttlSeconds = 31 * 86_400;
/** Of the pieces of an upload that is under way. */
const uploadTtlSeconds = 3_600;

const columns = 'id, name, content_type, bytes, sha256, pieces, created_at, expires_at';

const roomText = `
SELECT count(*) < $2 AS has_room FROM ingest.documents WHERE tenant = $1 AND expires_at > now()`;

/** One after the other for each tenant, or two at once could both see room for one. */
const lockText = `SELECT pg_advisory_xact_lock(hashtext('ingest.documents'), hashtext($1))`;

const insertText = `
INSERT INTO ingest.documents (tenant, id, name, content_type, bytes, sha256, pieces, expires_at)
SELECT $1, $2, $3, $4, $5, $6, $7, now() + $8 * interval '1 s'
WHERE (SELECT count(*) FROM ingest.documents WHERE tenant = $1 AND expires_at > now()) < $9
RETURNING ${columns}`;

/** By the millisecond, as the cursor says it. */
const listText = `
SELECT ${columns} FROM ingest.documents
WHERE tenant = $1 AND expires_at > now()
  AND ($2::timestamptz IS NULL OR (date_trunc('milliseconds', created_at), id) < ($2, $3))
ORDER BY date_trunc('milliseconds', created_at) DESC, id DESC
LIMIT $4`;

const findText = `
SELECT ${columns} FROM ingest.documents WHERE tenant = $1 AND id = $2 AND expires_at > now()`;

const removeText = `
DELETE FROM ingest.documents WHERE tenant = $1 AND id = $2 RETURNING ${columns}`;

/** Rows of documents whose bytes are gone. */
const purgeText = 'DELETE FROM ingest.documents WHERE expires_at <= now()';

/** Rows under the role that sees one tenant; bytes in `blobs`, each piece through the codec. */
export class PostgresDocuments extends Documents {
  readonly #o: {
    readonly pool: Pool;
    readonly own: TenantDatabase;
    readonly blobs: Blobs;
    readonly codec: PayloadCodec;
  };

  constructor(o: { pool: Pool; own: TenantDatabase; blobs: Blobs; codec: PayloadCodec }) {
    super();
    this.#o = o;
  }

  async hasRoom(tenant: TenantId): Promise<boolean> {
    const query = { text: roomText, values: [tenant, documentsPerTenantMax] };
    const { rows } = await this.#o.own.query<{ has_room: boolean }>(tenant, query);
    return rows[0]?.has_room ?? false;
  }

  async putPiece(tenant: TenantId, piece: { id: string; index: number; bytes: Buffer }) {
    const { blobs, codec } = this.#o;
    const bytes = codec.encode(piece.bytes, { tenant, medium: 'blob' });
    const ref = documentPieceRef(piece.id, piece.index);
    await blobs.put(tenant, ref, { bytes, ttlSeconds: uploadTtlSeconds });
  }

  async create(tenant: TenantId, document: NewDocument): Promise<DocumentView | null> {
    const { blobs, codec, own } = this.#o;
    const { id, name, manifest } = document;
    const { content_type: type, bytes, sha256, pieces } = manifest;
    const { rows } = await own.queryLast<DocumentRow>(tenant, [
      { text: lockText, values: [tenant] },
      {
        text: insertText,
        values: [
          tenant,
          id,
          name ?? null,
          type,
          bytes,
          sha256,
          pieces,
          ttlSeconds,
          documentsPerTenantMax,
        ],
      },
    ]);
    const [row] = rows;
    if (row === undefined) return null;
    // From here on it can be named, and from here on it is whole: nobody reads it before.
    await blobs.keep(tenant, pieceRefs(id, manifest), ttlSeconds);
    const json = Buffer.from(JSON.stringify(manifest));
    const encoded = codec.encode(json, { tenant, medium: 'blob' });
    await blobs.put(tenant, documentManifestRef(id), { bytes: encoded, ttlSeconds });
    return viewOf(row);
  }

  async list(tenant: TenantId, { cursor, limit }: DocumentQuery): Promise<DocumentView[]> {
    const after = cursor === undefined ? null : new Date(cursor.createdAtMs);
    const values = [tenant, after, cursor?.id ?? null, limit + 1];
    const { rows } = await this.#o.own.query<DocumentRow>(tenant, { text: listText, values });
    return rows.map(viewOf);
  }

  async find(tenant: TenantId, id: string): Promise<DocumentView | null> {
    const query = { text: findText, values: [tenant, id] };
    const { rows } = await this.#o.own.query<DocumentRow>(tenant, query);
    return rows[0] === undefined ? null : viewOf(rows[0]);
  }

  async remove(tenant: TenantId, id: string): Promise<boolean> {
    const query = { text: removeText, values: [tenant, id] };
    const { rows } = await this.#o.own.query<DocumentRow>(tenant, query);
    const [row] = rows;
    if (row === undefined) return false;
    await this.#forget(tenant, { id, pieces: row.pieces });
    return true;
  }

  async discard(tenant: TenantId, upload: { id: string; pieces: number }): Promise<void> {
    // It may have been accepted, and its end not heard of.
    await this.#o.own.query(tenant, { text: removeText, values: [tenant, upload.id] });
    await this.#forget(tenant, upload);
  }

  async #forget(tenant: TenantId, { id, pieces }: { id: string; pieces: number }): Promise<void> {
    const refs = [documentManifestRef(id), ...pieceRefs(id, { pieces })];
    await this.#o.blobs.forget(tenant, refs);
  }

  async purge(): Promise<void> {
    await this.#o.pool.query(purgeText);
  }
}

function pieceRefs(id: string, { pieces }: Pick<DocumentManifest, 'pieces'>): string[] {
  return Array.from({ length: pieces }, (_, index) => documentPieceRef(id, index));
}

function viewOf(row: DocumentRow): DocumentView {
  return {
    id: row.id,
    ...(row.name === null ? {} : { name: row.name }),
    content_type: row.content_type,
    bytes: Number(row.bytes),
    sha256: row.sha256,
    created_at: row.created_at.toISOString(),
    expires_at: row.expires_at.toISOString(),
  };
}
