import { promisify } from 'node:util';
import { gunzip, zstdDecompress } from 'node:zlib';

import { unpackLz4Frame } from '../core/lz4-frame.ts';
import { unpackSnappy } from '../core/snappy.ts';
import { UnpackError } from '../core/unpacked-bytes.ts';

type Unpack = (packed: Buffer, bytesMax: number) => Buffer | Promise<Buffer>;

const gunzipBytes = promisify(gunzip);
const zstdBytes = promisify<Buffer, { maxOutputLength: number }, Buffer>(zstdDecompress);

/** By Kafka's numbers of them. */
const unpackers: Readonly<Record<number, Unpack>> = {
  1: (packed, bytesMax) => gunzipBytes(packed, { maxOutputLength: bytesMax }),
  2: unpackSnappy,
  3: unpackLz4Frame,
  4: (packed, bytesMax) => zstdBytes(packed, { maxOutputLength: bytesMax }),
};

/** Unpacks the records of a batch. @throws UnpackError, and nothing else */
export async function unpack(packing: number, packed: Buffer, bytesMax: number): Promise<Buffer> {
  try {
    const unpacker = unpackers[packing];
    if (unpacker === undefined) throw new UnpackError('damaged');
    return await unpacker(packed, bytesMax);
  } catch (error) {
    throw error instanceof UnpackError ? error : new UnpackError(reasonOf(error));
  }
}

/** By the code of what Node's zlib throws. */
function reasonOf(error: unknown): UnpackError['reason'] {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : null;
  return code === 'ERR_BUFFER_TOO_LARGE' ? 'too_large' : 'damaged';
}
