/** Secrets of a local stack: made once, kept in files that only their owner reads. */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** @param {string} home @returns {string} `mr_…`, in `<home>/api-key` */
export function apiKeyOf(home) {
  return kept(join(home, 'api-key'), () => `mr_${randomBytes(32).toString('base64url')}`);
}

/** @param {string} home @returns {string} the operator's key `mra_…`, in `<home>/admin-key` */
export function adminKeyOf(home) {
  return kept(join(home, 'admin-key'), () => `mra_${randomBytes(32).toString('base64url')}`);
}

/** @param {string} home @returns {string} `whsec_…`, in `<home>/webhook-secret` */
export function webhookSecretOf(home) {
  return kept(join(home, 'webhook-secret'), () => `whsec_${randomBytes(32).toString('base64')}`);
}

/** @param {string} home @returns {string} what services show each other: `<home>/internal-key` */
export function internalKeyOf(home) {
  return kept(join(home, 'internal-key'), () => randomBytes(32).toString('base64url'));
}

/** What secrets of tenants are sealed with. @param {string} home */
export function secretsKeyOf(home) {
  return kept(join(home, 'secrets-key'), () => randomBytes(32).toString('base64url'));
}

/** What agent-orchestrator seals the tokens of tools with. @param {string} home */
export function toolTokenKeyOf(home) {
  return kept(join(home, 'tool-token-key'), () => randomBytes(32).toString('base64url'));
}

/**
 * @param {string} home
 * @param {readonly string[]} roles
 * @returns {Record<string, string>} a password for each database role
 */
export function rolePasswordsOf(home, roles) {
  return Object.fromEntries(
    roles.map((role) => [
      role,
      kept(join(home, 'postgres', `password-${role}`), () =>
        randomBytes(24).toString('base64url'),
      ),
    ]),
  );
}

/** @param {string} file @param {() => string} make */
function kept(file, make) {
  if (existsSync(file)) {
    const content = readFileSync(file, 'utf8').trim();
    if (content !== '') return content;
  }
  const secret = make();
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${secret}\n`, { mode: 0o600 });
  return secret;
}
