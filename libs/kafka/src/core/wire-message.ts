/** Of several headers of one name, each is kept. */
export type HeaderValue = Buffer | string | readonly (Buffer | string)[];

/** What a producer puts on the wire. A dead letter's key and headers are bytes, not text. */
export interface WireMessage {
  readonly topic: string;
  readonly key: Buffer | string | null;
  readonly headers: Readonly<Record<string, HeaderValue>>;
  readonly value: Buffer | null;
}
