import { describe, expect, it } from '@jest/globals';
import { untrustedData } from '@millrace/contracts';

import { AgentDriver, asks, of, sent, text } from './agent-run.fixture.ts';

function listening() {
  const run = new AgentDriver();
  run.request({ params: { signals: ['paid', 'sent'] } });
  return run;
}

function signal(run: AgentDriver, name: string, id: string, data: unknown = { n: 1 }) {
  const signalled = JSON.parse(JSON.stringify({ name, signal_id: id, data }));
  return run.happen({ type: 'signalled', data: signalled });
}

const wait = asks(['wait_for_signal', { name: 'paid' }]);

describe('a signal', () => {
  it('is waited for by a tool that only agents with signals have', () => {
    const run = listening();
    expect(of('call_claude', run.commands)[0]?.params?.['tools']).toMatchObject([
      {
        name: 'wait_for_signal',
        input_schema: { properties: { name: { enum: ['paid', 'sent'] } } },
      },
    ]);
    run.answer(1, wait);
    expect(run.workflow.status).toBe('awaiting_signal');
    expect(run.reducer.view(run.workflow.state).signals).toEqual(['paid']);
    const commands = signal(run, 'paid', 's1');
    expect(sent(commands)).toMatchObject([{ content: [{ content: untrustedData('{"n":1}') }] }]);
    expect(run.reducer.view(run.workflow.state).tainted).toBe(true);
  });

  it('that came before is there at once, the oldest first', () => {
    const run = listening();
    signal(run, 'paid', 's1', 'first');
    signal(run, 'sent', 's2', 'other');
    signal(run, 'paid', 's3', 'second');
    const told = (text: string) => [{ content: [{ content: untrustedData(text) }] }];
    expect(sent(run.answer(1, wait))).toMatchObject(told('first'));
    expect(sent(run.answer(2, wait))).toMatchObject(told('second'));
  });

  it('of another name does not end the wait', () => {
    const run = listening();
    run.answer(1, wait);
    expect(signal(run, 'sent', 's1')).toEqual([]);
    expect(run.workflow.status).toBe('awaiting_signal');
  });

  it('counts once by its id, even when it was taken long ago', () => {
    const run = listening();
    run.answer(1, wait);
    signal(run, 'paid', 's1');
    signal(run, 'paid', 's1');
    expect(run.last).toEqual({ kind: 'ignored', why: 'the signal has come before' });
  });

  it('of another name is another one, whatever its id', () => {
    const run = listening();
    signal(run, 'sent', 's1');
    run.answer(1, wait);
    expect(sent(signal(run, 'paid', 's1'))).toMatchObject([{ role: 'user' }]);
  });

  it('that the agent does not know, or that comes after the end, is ignored', () => {
    const run = listening();
    signal(run, 'unheard', 's1');
    expect(run.last).toEqual({
      kind: 'ignored',
      why: 'the agent waits for no signal of this name',
    });
    run.answer(1, text('done'));
    signal(run, 'paid', 's2');
    expect(run.last).toEqual({ kind: 'ignored', why: 'the run has ended' });
  });

  it('is not kept beyond a hundred, or beyond the room for them', () => {
    const run = listening();
    for (let n = 1; n <= 101; n += 1) signal(run, 'paid', `s${n}`);
    expect(run.last).toEqual({ kind: 'ignored', why: 'as many signals are kept as may be' });
    const other = listening();
    for (let n = 1; n <= 3; n += 1) signal(other, 'paid', `s${n}`, 'x'.repeat(60_000));
    expect(other.last?.kind).toBe('ignored');
  });

  it('is waited for by name only when the name is one of the agent’s', () => {
    const run = listening();
    const commands = run.answer(1, asks(['wait_for_signal', { name: 'unheard' }]));
    expect(sent(commands)).toMatchObject([{ content: [{ is_error: true }] }]);
  });
});
