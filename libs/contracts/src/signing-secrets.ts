import { z } from 'zod';

import { liveSecretsMax } from './limits.ts';

/** A signing secret as it is kept. */
export interface SigningSecret {
  /** `whsec_…` */
  readonly secret: string;
  /** Null when it was kept before that was noted. */
  readonly created_at: string | null;
  /** Until when it signs, once another has taken its place. */
  readonly expires_at: string | null;
}

/** Where the signing secrets of a tenant are sealed for, in every table and on the topic. */
export function tenantSecretsPlace(tenant: string): string {
  return `${tenant}/webhook-secrets`;
}

/** Kept before secrets had times of their own: the text alone. */
const bareSecretSchema = z
  .string()
  .transform((secret): SigningSecret => ({ secret, created_at: null, expires_at: null }));

const signingSecretsSchema = z.array(
  z.union([
    bareSecretSchema,
    z.object({
      secret: z.string(),
      created_at: z.iso.datetime().nullable(),
      expires_at: z.iso.datetime().nullable(),
    }),
  ]),
);

/**
 * Of the JSON that is sealed and kept: newest first.
 * @throws for what is no such list.
 */
export function parseSigningSecrets(json: string): SigningSecret[] {
  return signingSecretsSchema.parse(JSON.parse(json));
}

/** Those that webhooks are signed with now, newest first. */
export function liveSecrets(secrets: readonly SigningSecret[], nowMs: number): SigningSecret[] {
  return secrets.filter(({ expires_at: end }) => end === null || Date.parse(end) > nowMs);
}

/**
 * The new secret in front; those before it go on for so long, or end sooner if they were to.
 * @returns null when more would live at once than may.
 */
export function withNewSecret(
  secrets: readonly SigningSecret[],
  o: { readonly secret: string; readonly expirePreviousMs: number; readonly nowMs: number },
): SigningSecret[] | null {
  const { nowMs, secret } = o;
  const end = new Date(nowMs + o.expirePreviousMs).toISOString();
  const previous = liveSecrets(secrets, nowMs).map((known) => ({
    ...known,
    expires_at: known.expires_at !== null && known.expires_at < end ? known.expires_at : end,
  }));
  const live = liveSecrets(previous, nowMs);
  if (live.length >= liveSecretsMax) return null;
  return [{ secret, created_at: new Date(nowMs).toISOString(), expires_at: null }, ...live];
}
