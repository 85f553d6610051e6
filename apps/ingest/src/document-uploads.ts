import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';

import {
  documentBytesMax,
  documentPieceBytes,
  type DocumentView,
  type TenantId,
} from '@millrace/contracts';
import { isConnectionLost } from '@millrace/postgres';
import { Injectable } from '@nestjs/common';
import { ulid } from 'ulid';

import { ProblemError, RefusedForNow } from './core/problem.ts';
import { Documents } from './ports.ts';

/** Uploads of this process at once: each holds two pieces and a connection now and then. */
const uploadsMax = 16;
/** Of them those of one tenant: others find room beside one that uploads slowly. */
const uploadsPerTenantMax = 4;
const retryAfterSeconds = 5;

export interface Upload {
  readonly tenant: TenantId;
  readonly name: string | undefined;
  readonly contentType: string;
  readonly body: Readable;
}

/** Takes documents in piece by piece: of 32 MB one MiB is in memory. */
@Injectable()
export class DocumentUploads {
  private underWay = 0;
  private readonly ofTenants = new Map<TenantId, number>();

  constructor(private readonly documents: Documents) {}

  /** @throws ProblemError when it is empty or too large, or there are too many. */
  async take(upload: Upload): Promise<DocumentView> {
    const { tenant } = upload;
    this.refuseMany(tenant);
    this.count(tenant, 1);
    try {
      if (!(await this.documents.hasRoom(tenant))) throw noRoom();
      return await this.write(upload);
    } catch (error) {
      if (!isConnectionLost(error)) throw error;
      throw new ProblemError('not_durable', 'the document could not be kept now: try again');
    } finally {
      this.count(tenant, -1);
    }
  }

  private refuseMany(tenant: TenantId): void {
    if (this.underWay >= uploadsMax) {
      const detail = `${uploadsMax} documents are being uploaded`;
      throw new RefusedForNow('overloaded', detail, retryAfterSeconds);
    }
    if ((this.ofTenants.get(tenant) ?? 0) >= uploadsPerTenantMax) {
      const detail = `${uploadsPerTenantMax} documents of this tenant are being uploaded`;
      throw new RefusedForNow('too_many_requests', detail, retryAfterSeconds);
    }
  }

  private count(tenant: TenantId, change: 1 | -1): void {
    this.underWay += change;
    const own = (this.ofTenants.get(tenant) ?? 0) + change;
    if (own > 0) this.ofTenants.set(tenant, own);
    else this.ofTenants.delete(tenant);
  }

  private async write(upload: Upload): Promise<DocumentView> {
    const id = `doc_${ulid()}`;
    const written = { id, pieces: 0 };
    try {
      return await this.writeAs(written, upload);
    } catch (error) {
      // What cannot be deleted now is gone after an hour.
      await this.documents.discard(upload.tenant, written).catch(() => undefined);
      throw error;
    }
  }

  private async writeAs(
    written: { readonly id: string; pieces: number },
    { tenant, name, contentType, body }: Upload,
  ): Promise<DocumentView> {
    const { id } = written;
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const piece of piecesOf(body)) {
      bytes += piece.length;
      if (bytes > documentBytesMax) {
        const detail = `a document has at most ${documentBytesMax} bytes`;
        throw new ProblemError('payload_too_large', detail);
      }
      hash.update(piece);
      const index = written.pieces;
      // Counted before: whether it was written may never be known.
      written.pieces += 1;
      await this.documents.putPiece(tenant, { id, index, bytes: piece });
    }
    if (bytes === 0) throw new ProblemError('invalid_request', 'the document is empty');
    const { pieces } = written;
    const manifest = { content_type: contentType, bytes, sha256: hash.digest('hex'), pieces };
    const document = await this.documents.create(tenant, { id, name, manifest });
    if (document === null) throw noRoom();
    return document;
  }
}

function noRoom(): ProblemError {
  return new ProblemError('limit_reached', 'delete documents first, or wait until some expire');
}

/** A stream as pieces of one size, the last one shorter. */
async function* piecesOf(body: Readable): AsyncIterable<Buffer> {
  let gathered: Buffer[] = [];
  let length = 0;
  // Who is refused is to hear why: that ends the connection, not this.
  const stream: AsyncIterable<Buffer> = body.iterator({ destroyOnReturn: false });
  for await (const chunk of stream) {
    gathered.push(chunk);
    length += chunk.length;
    if (length < documentPieceBytes) continue;
    const whole = Buffer.concat(gathered);
    let at = 0;
    for (; at + documentPieceBytes <= whole.length; at += documentPieceBytes) {
      yield whole.subarray(at, at + documentPieceBytes);
    }
    gathered = at < whole.length ? [whole.subarray(at)] : [];
    length = whole.length - at;
  }
  if (length > 0) yield Buffer.concat(gathered);
}
