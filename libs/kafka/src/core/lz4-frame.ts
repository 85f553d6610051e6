import { UnpackedBytes, UnpackError } from './unpacked-bytes.ts';

/** Of a frame's header, which has two bytes of settings, two optional fields, and a checksum. */
const magic = 0x184d2204;
const flag = { contentSize: 0x08, blockChecksum: 0x10, dictionaryId: 0x01 } as const;
/** The bit of a block's size that says: stored as it was. */
const storedBit = 0x80000000;
/** A length of this much goes on in the next bytes. */
const lengthGoesOn = 15;
const matchLengthMin = 4;
const ratioUsual = 4;

/**
 * Unpacks an LZ4 frame, as Kafka's clients write it. Checksums are not looked at: the broker has
 * unpacked the batch before it took it.
 *
 * @throws UnpackError
 */
export function unpackLz4Frame(packed: Buffer, bytesMax: number): Buffer {
  const source = new Source(packed);
  if (source.uint32() !== magic) throw new UnpackError('damaged');
  const flags = source.byte();
  source.skip(1);
  if ((flags & flag.contentSize) !== 0) source.skip(8);
  if ((flags & flag.dictionaryId) !== 0) source.skip(4);
  source.skip(1);
  const output = new UnpackedBytes(bytesMax, packed.length * ratioUsual);
  for (let size = source.uint32(); size !== 0; size = source.uint32()) {
    const length = size & ~storedBit;
    const end = source.at + length;
    if (end > packed.length) throw new UnpackError('damaged');
    if ((size & storedBit) === 0) unpackBlock(source, end, output);
    else output.append(packed, source.at, length);
    source.at = end;
    if ((flags & flag.blockChecksum) !== 0) source.skip(4);
  }
  return output.whole();
}

/** A block is pairs of literal bytes and a match; the last pair has no match. */
function unpackBlock(source: Source, end: number, output: UnpackedBytes): void {
  while (source.at < end) {
    const token = source.byte();
    const literals = source.length(token >> 4);
    output.append(source.bytes, source.at, literals);
    source.skip(literals);
    if (source.at >= end) return;
    const distance = source.byte() | (source.byte() << 8);
    output.repeat(distance, source.length(token & 0x0f) + matchLengthMin);
  }
}

class Source {
  at = 0;

  constructor(readonly bytes: Buffer) {}

  byte(): number {
    const byte = this.bytes[this.at];
    if (byte === undefined) throw new UnpackError('damaged');
    this.at += 1;
    return byte;
  }

  uint32(): number {
    if (this.at + 4 > this.bytes.length) throw new UnpackError('damaged');
    const value = this.bytes.readUInt32LE(this.at);
    this.at += 4;
    return value;
  }

  skip(count: number): void {
    this.at += count;
  }

  length(first: number): number {
    let length = first;
    if (first < lengthGoesOn) return length;
    for (;;) {
      const more = this.byte();
      length += more;
      if (more < 255) return length;
    }
  }
}
