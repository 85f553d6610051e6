import { describe, expect, it } from '@jest/globals';
import { tenantIdSchema, workflowRequestedSchema } from '@millrace/contracts';

import { outgoingEvents } from './outgoing-event.ts';
import { ToolTokens } from './tool-token.ts';

const head = workflowRequestedSchema.parse({
  tenant: tenantIdSchema.parse('default'),
  job_id: 'job-1',
  type: 'agent',
  params: {},
  reply: { kind: 'job', created_at: '2026-11-24T12:00:00.000Z' },
});

function typesOf(via: 'runner' | 'worker') {
  const commands = [{ kind: 'cancel_tool', callId: 'job-1/t1', via }] as const;
  const answer = { version: 2, atMs: 0, commands };
  const tokens = new ToolTokens('key');
  return outgoingEvents({ head, answer, tokens }).map(({ type }) => type);
}

describe('the cancel of a tool call', () => {
  it('goes to tool-runner for a call that it was asked for', () => {
    expect(typesOf('runner')).toEqual(['millrace.tool.cancel-requested.v1']);
  });

  it('of a worker goes to nobody: tool-runner would keep and answer a call it never had', () => {
    expect(typesOf('worker')).toEqual([]);
  });
});
