import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { liveSecretsMax } from './limits.ts';
import {
  liveSecrets,
  parseSigningSecrets,
  withNewSecret,
  type SigningSecret,
} from './signing-secrets.ts';

const nowMs = Date.parse('2026-11-29T12:00:00.000Z');
const hourMs = 3_600_000;
const first: SigningSecret = { secret: 'whsec_1', created_at: null, expires_at: null };

describe('signing secrets', () => {
  it('are read as they were kept before they had times', () => {
    expect(parseSigningSecrets('["whsec_1"]')).toEqual([first]);
    expect(parseSigningSecrets(JSON.stringify([first]))).toEqual([first]);
    expect(() => parseSigningSecrets('{"secret":"whsec_1"}')).toThrow();
  });

  it('go on signing beside a new one for as long as was said', () => {
    const secrets = withNewSecret([first], { secret: 'whsec_2', expirePreviousMs: hourMs, nowMs });
    const alive = (atMs: number) => liveSecrets(secrets ?? [], atMs).map(({ secret }) => secret);
    expect(alive(nowMs)).toEqual(['whsec_2', 'whsec_1']);
    expect(alive(nowMs + hourMs - 1)).toEqual(['whsec_2', 'whsec_1']);
    expect(alive(nowMs + hourMs)).toEqual(['whsec_2']);
  });

  it('end at once when they are given no time', () => {
    const o = { secret: 'whsec_2', expirePreviousMs: 0, nowMs };
    expect(withNewSecret([first], o)).toEqual([
      { secret: 'whsec_2', created_at: '2026-11-29T12:00:00.000Z', expires_at: null },
    ]);
  });

  it('are given no longer life by a later rotation', () => {
    const once = withNewSecret([first], { secret: 'b', expirePreviousMs: hourMs, nowMs }) ?? [];
    const later = { secret: 'c', expirePreviousMs: 48 * hourMs, nowMs: nowMs + 1 };
    const twice = withNewSecret(once, later) ?? [];
    expect(twice.map(({ expires_at: end }) => end)).toEqual([
      null,
      new Date(nowMs + 1 + 48 * hourMs).toISOString(),
      new Date(nowMs + hourMs).toISOString(),
    ]);
  });

  it('are never more than may live, whatever the rotations', () => {
    const rotation = fc.record({ waitMs: fc.nat(hourMs), expirePreviousMs: fc.nat(3 * hourMs) });
    fc.assert(
      fc.property(fc.array(rotation, { maxLength: 40 }), (rotations) => {
        let secrets: SigningSecret[] = [first];
        let atMs = nowMs;
        rotations.forEach(({ waitMs, expirePreviousMs }, i) => {
          atMs += waitMs;
          const next = withNewSecret(secrets, {
            secret: `whsec_${i}`,
            expirePreviousMs,
            nowMs: atMs,
          });
          // Refused only when there is no room, and then nothing has changed.
          if (next === null) expect(liveSecrets(secrets, atMs)).toHaveLength(liveSecretsMax);
          else secrets = next;
          const live = liveSecrets(secrets, atMs);
          expect(live.length).toBeLessThanOrEqual(liveSecretsMax);
          expect(live[0]?.expires_at).toBeNull();
          expect(live.slice(1).every(({ expires_at: end }) => end !== null)).toBe(true);
        });
      }),
    );
  });
});
