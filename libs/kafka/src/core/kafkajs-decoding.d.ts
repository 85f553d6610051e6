/** How kafkajs reads a batch, for the spec that has it read ours. */
declare module 'kafkajs/src/protocol/decoder.js' {
  class Decoder {
    constructor(bytes: Buffer);
  }
  export = Decoder;
}

declare module 'kafkajs/src/protocol/recordBatch/v0/decoder.js' {
  interface DecodedRecord {
    readonly offset: string;
    readonly timestamp: string;
    readonly key: Buffer | null;
    readonly value: Buffer;
    readonly headers: Readonly<Record<string, Buffer>>;
  }
  function decodeBatch(decoder: object): Promise<{ readonly records: readonly DecodedRecord[] }>;
  export = decodeBatch;
}
