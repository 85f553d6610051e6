import type { PayloadCodec, TenantId } from '@millrace/contracts';
import { readOwnBlob, type Blobs, type TenantDatabase } from '@millrace/postgres';

import { LargeBodies } from '../ports.ts';

/** As long as a job's row is kept, and a day: 31 days. */
const ttlSeconds = 31 * 86_400;

/** Large bodies in the shared schema `blobs`, written and read through the payload codec. */
export class BlobBodies extends LargeBodies {
  readonly #blobs: Blobs;
  readonly #own: TenantDatabase;
  readonly #codec: PayloadCodec;

  constructor(o: { blobs: Blobs; own: TenantDatabase; codec: PayloadCodec }) {
    super();
    this.#blobs = o.blobs;
    this.#own = o.own;
    this.#codec = o.codec;
  }

  async keep(tenant: TenantId, id: string, body: string): Promise<void> {
    const bytes = this.#codec.encode(Buffer.from(body), { tenant, medium: 'blob' });
    await this.#blobs.put(tenant, id, { bytes, ttlSeconds });
  }

  async read(tenant: TenantId, id: string): Promise<string | null> {
    const bytes = await readOwnBlob(this.#own, tenant, id);
    if (bytes === null) return null;
    return this.#codec.decode(bytes, { tenant, medium: 'blob' }).toString('utf8');
  }

  purge(): Promise<number> {
    return this.#blobs.purge();
  }
}
