/** A batch that cannot be unpacked: it needs more room than there is, or is not what it says. */
export class UnpackError extends Error {
  override readonly name = 'UnpackError';

  constructor(readonly reason: 'too_large' | 'damaged') {
    super(reason === 'too_large' ? 'it unpacks to too much' : 'it cannot be unpacked');
  }
}

const growthFactor = 4;

/** What an unpacker has written so far. It grows to its limit, and no further. */
export class UnpackedBytes {
  private bytes: Buffer;
  private end = 0;

  constructor(
    private readonly bytesMax: number,
    bytesExpected: number,
  ) {
    this.bytes = Buffer.allocUnsafe(Math.min(bytesMax, bytesExpected));
  }

  /** Adds bytes of the packed text as they are. */
  append(source: Buffer, from: number, length: number): void {
    if (length < 0 || from + length > source.length) throw new UnpackError('damaged');
    this.makeRoom(length);
    source.copy(this.bytes, this.end, from, from + length);
    this.end += length;
  }

  /** Adds again what was written before; it may run into what it writes itself. */
  repeat(distance: number, length: number): void {
    const from = this.end - distance;
    if (distance <= 0 || from < 0) throw new UnpackError('damaged');
    this.makeRoom(length);
    const { bytes } = this;
    if (distance >= length) bytes.copyWithin(this.end, from, from + length);
    else for (let i = 0; i < length; i += 1) bytes[this.end + i] = bytes[from + i] ?? 0;
    this.end += length;
  }

  whole(): Buffer {
    return this.bytes.subarray(0, this.end);
  }

  private makeRoom(length: number): void {
    const needed = this.end + length;
    if (needed <= this.bytes.length) return;
    if (needed > this.bytesMax) throw new UnpackError('too_large');
    const grown = Buffer.allocUnsafe(Math.min(this.bytesMax, needed * growthFactor));
    this.bytes.copy(grown, 0, 0, this.end);
    this.bytes = grown;
  }
}
