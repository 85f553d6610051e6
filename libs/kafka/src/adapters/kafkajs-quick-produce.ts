import Encoder from 'kafkajs/src/protocol/encoder.js';
import produce from 'kafkajs/src/protocol/requests/produce/index.js';

import { produceRequest } from '../core/produce-request.ts';

/** The first version with batches of format 2. */
const versionMin = 3;

/**
 * Writes what kafkajs 2.2.4 sends by ourselves, from now on in this process: 4 µs a message in
 * place of 22. kafkajs makes a buffer of 512 bytes for each header of each record and another for
 * the record, and copies them together. What asks for packing or a transaction is left to it.
 */
export function writeProduceRequestsQuickly(): void {
  const protocolOf = produce.protocol.bind(produce);
  produce.protocol = (options) => {
    const protocol = protocolOf(options);
    if (protocol === undefined || Number(options.version) < versionMin) return protocol;
    return (args) => {
      const { request, response } = protocol(args);
      const { acks, compression = 0, timeout: timeoutMs, topicData: topics } = args;
      if (compression !== 0 || args.transactionalId != null) return { request, response };
      const encode = () =>
        Promise.resolve(encoderOf(produceRequest({ acks, timeoutMs, topics, nowMs: Date.now() })));
      return { request: { ...request, encode }, response };
    };
  };
}

/** What kafkajs takes bytes from. */
function encoderOf(bytes: Buffer): Encoder {
  const encoder = new Encoder(0);
  encoder.buf = bytes;
  encoder.offset = bytes.length;
  return encoder;
}
