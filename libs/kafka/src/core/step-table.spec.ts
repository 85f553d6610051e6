import { describe, expect, it } from '@jest/globals';
import { topics } from '@millrace/contracts';
import type { Topic } from '@millrace/contracts';

import { stepTable } from './step-table.ts';

function found(topic: Topic, isShared = false) {
  const extra = { topic, form: 'event' as const };
  return { topic: topic.name, extra, handler: topic.name, isShared };
}

describe('the steps of a service', () => {
  it('are its topics with their handlers', () => {
    const topic = topics.claudeRequested;
    const steps = stepTable('claude-worker', [topic], [found(topic)]);
    expect(steps.get('claude.requested.v1')).toMatchObject({ handler: 'claude.requested.v1' });
  });

  it.each([
    ['no handler', [], /claude\.requested\.v1 has no handler/],
    [
      'a foreign handler',
      [found(topics.claudeRequested), found(topics.jobsFinished)],
      /jobs\.finished\.v1 has a handler, and the topic table does not give it to claude-worker/,
    ],
    ['two handlers', [found(topics.claudeRequested, true)], /more than one handler/],
    [
      'a handler that is no step',
      [{ ...found(topics.claudeRequested), extra: undefined }],
      /no @Step or @RawStep/,
    ],
  ])('are refused with %s', (_, handlers, message) => {
    const expected = [topics.claudeRequested];
    expect(() => stepTable('claude-worker', expected, handlers)).toThrow(message);
  });

  it('are refused when the table names another consumer', () => {
    const topic = topics.claudeRequested;
    const table = () => stepTable('ingest', [topic], [found(topic)]);
    expect(table).toThrow(/does not name ingest among the consumers of claude\.requested\.v1/);
  });
});
