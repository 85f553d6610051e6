import { createHmac } from 'node:crypto';

import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import {
  defaultTenant,
  parseSigningSecrets,
  tenantChangedSchema,
  tenantSecretsPlace,
  topics,
} from '@millrace/contracts';
import { SecretBox } from '@millrace/runtime';

import { RunningIngest, until } from './running-ingest.fixture.ts';

jest.setTimeout(120_000);

const [first, second] = [1, 2].map((byte) => Buffer.alloc(32, byte).toString('base64url'));
const secret = 'the-secret-of-a-source';

let ingest: RunningIngest;

beforeAll(async () => {
  ingest = await RunningIngest.start();
});
afterAll(async () => {
  await ingest.stop();
});

/** Rows whose secrets are not sealed under the key; without one, those in clear. */
async function sealedOtherwise(mark: Buffer): Promise<number> {
  const { rows } = await ingest.admin.query<{ count: number }>(
    `SELECT count(*)::int FROM (
       SELECT webhook_secrets AS sealed FROM ingest.tenants WHERE id = 'default'
       UNION ALL SELECT secrets FROM ingest.inbound_sources
     ) AS kept WHERE substring(sealed FROM 1 FOR 5) <> $1`,
    [mark],
  );
  return rows[0]?.count ?? -1;
}

it('seals what was kept in clear, and what an older key had sealed, after a start', async () => {
  const body = { name: 's', provider: 'generic', secret, template: { prompt: '{{ payload.n }}' } };
  const { path } = (await ingest.call('POST', '/v1/inbound-sources', { body })).body;
  let sent = 0;
  const send = async (): Promise<number> => {
    sent += 1;
    const text = JSON.stringify({ n: sent });
    const headers = {
      'content-type': 'application/json',
      'x-webhook-signature': createHmac('sha256', secret).update(text).digest('hex'),
    };
    return (await fetch(ingest.url + path, { method: 'POST', headers, body: text })).status;
  };
  expect(await send()).toBe(202);
  expect(await sealedOtherwise(new SecretBox([first!]).mark)).toBe(2);

  for (const keys of [[first!], [second!, first!]]) {
    await ingest.restart({ MILLRACE_SECRETS_KEY: keys.join(',') });
    expect(await send()).toBe(202);
    const { mark } = new SecretBox(keys);
    await until(async () => (await sealedOtherwise(mark)) === 0);
    expect(await send()).toBe(202);
  }

  // The first key may go: neither the tables nor what the topic says last needs it.
  await ingest.restart({ MILLRACE_SECRETS_KEY: second! });
  expect(await send()).toBe(202);
  const changes = await ingest.reader(topics.tenantsChanged);
  const box = new SecretBox([second!]);
  await until(async () => {
    const told = changes.messages.findLast(({ key }) => String(key) === defaultTenant);
    if (told === undefined) return false;
    const { sealed_secrets: sealed } = tenantChangedSchema.parse(JSON.parse(String(told.value)));
    const bytes = Buffer.from(sealed ?? '', 'base64');
    if (!bytes.subarray(0, box.mark.length).equals(box.mark)) return false;
    const [known] = parseSigningSecrets(box.open(bytes, tenantSecretsPlace(defaultTenant)));
    expect(known?.secret).toBe(`whsec_${Buffer.alloc(32, 7).toString('base64')}`);
    return true;
  });
  await changes.stop();
});
