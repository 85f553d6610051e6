import { UnpackedBytes, UnpackError } from './unpacked-bytes.ts';

/** How clients in Java begin: several blocks with their sizes. Those in C write one bare block. */
const javaMagic = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00]);
const javaHeaderBytes = 16;
const ratioUsual = 4;
/** A literal of more than 60 bytes has its length behind the tag, in up to 4 bytes. */
const shortLiteralMax = 60;

/**
 * Unpacks snappy, in either of the two forms in which Kafka's clients write it.
 *
 * @throws UnpackError
 */
export function unpackSnappy(packed: Buffer, bytesMax: number): Buffer {
  const output = new UnpackedBytes(bytesMax, packed.length * ratioUsual);
  if (!packed.subarray(0, javaMagic.length).equals(javaMagic)) {
    unpackBlock(packed, output);
    return output.whole();
  }
  for (let at = javaHeaderBytes; at < packed.length; ) {
    if (at + 4 > packed.length) throw new UnpackError('damaged');
    const end = at + 4 + packed.readUInt32BE(at);
    if (end > packed.length) throw new UnpackError('damaged');
    unpackBlock(packed.subarray(at + 4, end), output);
    at = end;
  }
  return output.whole();
}

function unpackBlock(block: Buffer, output: UnpackedBytes): void {
  let at = afterLength(block);
  while (at < block.length) {
    const tag = byteAt(block, at);
    at += 1;
    switch (tag & 0x03) {
      case 0: {
        const literal = literalAt(block, at, tag >> 2);
        output.append(block, literal.from, literal.length);
        at = literal.from + literal.length;
        break;
      }
      case 1:
        output.repeat(((tag >> 5) << 8) | byteAt(block, at), ((tag >> 2) & 0x07) + 4);
        at += 1;
        break;
      case 2:
        output.repeat(numberAt(block, at, 2), (tag >> 2) + 1);
        at += 2;
        break;
      default:
        output.repeat(numberAt(block, at, 4), (tag >> 2) + 1);
        at += 4;
    }
  }
}

/** A block begins with its unpacked length, which our limit makes superfluous. */
function afterLength(block: Buffer): number {
  let at = 0;
  while (byteAt(block, at) >= 0x80) at += 1;
  return at + 1;
}

function literalAt(block: Buffer, at: number, size: number): { from: number; length: number } {
  if (size < shortLiteralMax) return { from: at, length: size + 1 };
  const bytes = size - shortLiteralMax + 1;
  return { from: at + bytes, length: numberAt(block, at, bytes) + 1 };
}

function numberAt(block: Buffer, at: number, bytes: number): number {
  if (at + bytes > block.length) throw new UnpackError('damaged');
  return block.readUIntLE(at, bytes);
}

function byteAt(block: Buffer, at: number): number {
  const byte = block[at];
  if (byte === undefined) throw new UnpackError('damaged');
  return byte;
}
