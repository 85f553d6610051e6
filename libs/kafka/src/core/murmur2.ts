const seed = 0x9747_b28c;
const m = 0x5bd1_e995;

/**
 * The hash of a key by which Kafka's clients choose its partition: whoever publishes, records of
 * one key are in one partition. As `Utils.murmur2` of Kafka's Java client.
 *
 * @returns an integer of 32 bits with a sign
 */
export function murmur2(key: Buffer): number {
  const { length } = key;
  const end = length - (length % 4);
  let h = seed ^ length;
  for (let at = 0; at < end; at += 4) {
    let k = Math.imul(key.readInt32LE(at), m);
    k ^= k >>> 24;
    h = Math.imul(h, m) ^ Math.imul(k, m);
  }
  if (end < length) {
    for (let at = length - 1; at >= end; at -= 1) h ^= (key[at] ?? 0) << (8 * (at - end));
    h = Math.imul(h, m);
  }
  h ^= h >>> 13;
  h = Math.imul(h, m);
  return h ^ (h >>> 15);
}
