/** Where a body is about to be kept. */
export interface PayloadPlace {
  readonly tenant: string;
  readonly medium: 'kafka' | 'table' | 'blob';
}

/**
 * Stands where bodies enter Kafka, tables and blobs, and where they are read back. Identity now;
 * encryption later changes this one thing. An abstract class, so that Nest can inject it.
 */
export abstract class PayloadCodec {
  abstract encode(body: Buffer, place: PayloadPlace): Buffer;
  /** @throws when the bytes were not written by a codec that this one knows. */
  abstract decode(body: Buffer, place: PayloadPlace): Buffer;
}

export class IdentityPayloadCodec extends PayloadCodec {
  encode(body: Buffer): Buffer {
    return body;
  }

  decode(body: Buffer): Buffer {
    return body;
  }
}
