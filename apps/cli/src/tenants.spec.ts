import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { TypedLine } from './typed-line.fixture.ts';

const at = '2030-01-02T03:04:05.678Z';
const tenant = {
  id: 'acme',
  intake_topic: 't.acme.jobs.submitted.v1',
  created_at: at,
  changed_at: at,
  disabled_at: null,
};
const key = {
  id: 'key_1',
  tenant: 'acme',
  label: 'billing',
  last4: 'wxyz',
  created_at: at,
  last_used_at: null,
  revoked_at: null,
};
const list = { data: [tenant], next_cursor: null };
const tenantWithSecret = { ...tenant, webhook_secret: 'whsec_c2VjcmV0' };

const cli = new TypedLine();
beforeAll(() => cli.open());
afterAll(() => cli.close());

const operator = 'Bearer operator';

describe('commands about tenants', () => {
  it.each([
    ['tenants create acme', 'POST /v1/tenants', '{"id":"acme"}', tenantWithSecret],
    ['tenants list --limit 2', 'GET /v1/tenants?limit=2', '', list],
    ['tenants disable acme', 'DELETE /v1/tenants/acme', '', { ...tenant, disabled_at: at }],
    ['tenants enable acme', 'POST /v1/tenants/acme/enable', '', tenant],
    [
      'tenants rotate-secret acme',
      'POST /v1/tenants/acme/rotate-webhook-secret',
      '{}',
      tenantWithSecret,
    ],
    [
      'tenants rotate-secret acme --drop-previous',
      'POST /v1/tenants/acme/rotate-webhook-secret',
      '{"expire_previous_in_seconds":0}',
      tenantWithSecret,
    ],
  ])('%s is %s by the operator’s key', async (line, route, body, answers) => {
    expect(await cli.said(line, answers)).toContain('t.acme.jobs.submitted.v1');
    expect(cli.asked).toMatchObject([{ route, by: operator, body }]);
  });

  it('show a new secret on a line of its own', async () => {
    const said = await cli.said('tenants create acme', tenantWithSecret);
    expect(said.split('\n')).toContain('whsec_c2VjcmV0');
  });
});

describe('commands about keys', () => {
  const own = 'Bearer tenant';
  const keys = { data: [key], next_cursor: 'abc' };

  it.each([
    ['keys create billing', 'POST /v1/api-keys', own, '{"label":"billing"}', 'mr_new'],
    [
      'keys create billing --tenant acme',
      'POST /v1/api-keys',
      operator,
      '{"label":"billing","tenant":"acme"}',
      'mr_new',
    ],
    ['keys list', 'GET /v1/api-keys', own, '', 'More: millrace keys list --cursor abc'],
    [
      'keys list --tenant acme',
      'GET /v1/api-keys?tenant=acme',
      operator,
      '',
      'More: millrace keys list --tenant acme --cursor abc',
    ],
    ['keys revoke key_1', 'DELETE /v1/api-keys/key_1', own, '', 'wxyz'],
    [
      'keys revoke key_1 --tenant acme',
      'DELETE /v1/api-keys/key_1?tenant=acme',
      operator,
      '',
      'wxyz',
    ],
  ])('%s is %s by %s', async (line, route, by, body, said) => {
    const answers = line.startsWith('keys list') ? keys : { ...key, key: 'mr_new' };
    expect(await cli.said(line, answers)).toContain(said);
    expect(cli.asked).toMatchObject([{ route, by, body }]);
  });

  it('never show a key that was made before', async () => {
    expect(await cli.said('keys revoke key_1', { ...key, key: 'mr_secret' })).not.toContain('mr_');
  });
});
