import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { ToolTokens, type ToolTicket } from './tool-token.ts';

const tokens = new ToolTokens('k'.repeat(43));
const ticket: ToolTicket = {
  tenant: 'acme-1',
  day: '2026-11-24',
  workflowId: 'job-1/c2',
  callId: 'job-1/c2/t3',
  attempt: 2,
};

describe('the token of a tool call', () => {
  it('says whose it is, where its rows lie and which attempt it answers', () => {
    const token = tokens.make(ticket);
    expect(token).toMatch(/^v1\.acme-1\.2026-11-24\.2\.[\w-]{43}$/);
    expect(tokens.read(token, ticket)).toEqual({ tenant: 'acme-1', day: '2026-11-24', attempt: 2 });
  });

  it.each([
    ['of another workflow', { workflowId: 'job-2', callId: ticket.callId }],
    ['of another call', { workflowId: ticket.workflowId, callId: 'job-1/c2/t4' }],
  ])('is nothing with the name %s', (_, call) => {
    expect(tokens.read(tokens.make(ticket), call)).toBeNull();
  });

  it('holds for no other tenant, day or attempt, and with no other key', () => {
    const token = tokens.make(ticket);
    for (const [from, to] of [
      ['acme-1', 'acme-2'],
      ['2026-11-24', '2026-11-25'],
      ['.2.', '.3.'],
    ] as const) {
      expect(tokens.read(token.replace(from, to), ticket)).toBeNull();
    }
    expect(new ToolTokens('x'.repeat(43)).read(token, ticket)).toBeNull();
  });

  it('is not found in any other text, and no text throws', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(tokens.read(text, ticket)).toBeNull();
        expect(tokens.read(`v1.acme-1.2026-11-24.2.${text}`, ticket)).toBeNull();
      }),
    );
  });
});
