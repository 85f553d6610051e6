import { randomBytes } from 'node:crypto';

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { SecretBox, UnreadableSecretError } from './secret-box.ts';

const newKey = () => randomBytes(32).toString('base64url');
const key = newKey();
const box = new SecretBox([key]);

describe('SecretBox', () => {
  it('opens what it sealed, and shows nothing of it meanwhile', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 4 }), fc.string(), (secret, place) => {
        const sealed = box.seal(secret, place);
        expect(sealed.includes(Buffer.from(secret))).toBe(false);
        expect(box.open(sealed, place)).toBe(secret);
      }),
    );
  });

  it('seals the same secret otherwise each time', () => {
    expect(box.seal('whsec_1', 'a').equals(box.seal('whsec_1', 'a'))).toBe(false);
  });

  it('opens for the place that it was sealed for, and nowhere else', () => {
    const sealed = box.seal('whsec_1', 'acme/endpoint/ep_1');
    expect(() => box.open(sealed, 'acme/endpoint/ep_2')).toThrow(UnreadableSecretError);
  });

  it('refuses what was changed at any byte, or cut off', () => {
    const sealed = box.seal('whsec_1', 'a');
    for (let at = 1; at < sealed.length; at += 1) {
      const changed = Buffer.from(sealed);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(() => box.open(changed, 'a')).toThrow(UnreadableSecretError);
      expect(() => box.open(sealed.subarray(0, at), 'a')).toThrow(UnreadableSecretError);
    }
  });

  it('opens what an earlier key sealed, and seals with the first', () => {
    const earlier = box.seal('whsec_1', 'a');
    const next = new SecretBox([newKey(), key]);
    expect(next.open(earlier, 'a')).toBe('whsec_1');
    expect(() => box.open(next.seal('whsec_1', 'a'), 'a')).toThrow(UnreadableSecretError);
  });

  it.each(['whsec_MDEyMw==', '["whsec_MDEyMw=="]', ''])('reads %j, kept before a key', (text) => {
    expect(box.open(Buffer.from(text), 'a')).toBe(text);
  });

  it('without a key keeps secrets as they are', () => {
    const open = new SecretBox();
    expect(open.isLocked).toBe(false);
    expect(open.seal('whsec_1', 'a').toString('utf8')).toBe('whsec_1');
    expect(() => open.open(box.seal('whsec_1', 'a'), 'a')).toThrow(UnreadableSecretError);
  });
});
