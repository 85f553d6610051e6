/** CRC-32C (Castagnoli) as Kafka's batches carry it: RFC 3720 B.4, reflected polynomial. */
const polynomial = 0x82f63b78;
/** Bytes taken at once: one table for each. */
const width = 8;

const tables = tablesOf();

function tablesOf(): Int32Array {
  const made = new Int32Array(width * 256);
  for (let byte = 0; byte < 256; byte += 1) {
    let rest = byte;
    for (let bit = 0; bit < 8; bit += 1) rest = (rest >>> 1) ^ (rest & 1 ? polynomial : 0);
    made[byte] = rest;
  }
  for (let at = 256; at < made.length; at += 1) {
    const before = made[at - 256] ?? 0;
    made[at] = (before >>> 8) ^ (made[before & 0xff] ?? 0);
  }
  return made;
}

/** Of the bytes from `from` to the end. */
export function crc32c(bytes: Uint8Array, from = 0, to = bytes.length): number {
  let crc = -1;
  let at = from;
  for (; at + width <= to; at += width) {
    const low = crc ^ int32At(bytes, at);
    const high = int32At(bytes, at + 4);
    crc =
      table(7, low) ^
      table(6, low >>> 8) ^
      table(5, low >>> 16) ^
      table(4, low >>> 24) ^
      table(3, high) ^
      table(2, high >>> 8) ^
      table(1, high >>> 16) ^
      table(0, high >>> 24);
  }
  for (; at < to; at += 1) crc = (crc >>> 8) ^ table(0, crc ^ (bytes[at] ?? 0));
  return ~crc >>> 0;
}

function table(nth: number, byte: number): number {
  return tables[nth * 256 + (byte & 0xff)] ?? 0;
}

function int32At(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] ?? 0) |
    ((bytes[at + 1] ?? 0) << 8) |
    ((bytes[at + 2] ?? 0) << 16) |
    ((bytes[at + 3] ?? 0) << 24)
  );
}
