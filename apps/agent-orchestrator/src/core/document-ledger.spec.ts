import { describe, expect, it } from '@jest/globals';
import type { Usage } from '@millrace/contracts';
import fc from 'fast-check';

import { openLedger, plus, raise, nothing } from './agent-budget.ts';
import { prices, startedAt } from './agent-run.fixture.ts';
import { callsIn, DocumentDriver } from './document-run.fixture.ts';
import { costMicros } from './prices.ts';
import type { Command } from './workflow.ts';

type Call = ReturnType<typeof callsIn>[number];

const amounts = ['micros', 'tokens', 'iterations', 'toolCalls'] as const;
const answerTokens = 200;

/** A document's life: everything that happens to it is drawn. */
class SpendingDocument {
  readonly run = new DocumentDriver();
  #open: Call[] = [];
  #limits;
  #spentMicros = 0;

  constructor(
    private readonly parts: readonly number[],
    private readonly budget: { usd?: number; tokens: number; iterations: number },
    onReached: 'fail' | 'park',
  ) {
    this.#limits = openLedger(budget).limits;
    this.run.request({
      params: { max_tokens: answerTokens },
      budget: { ...budget, on_reached: onReached },
    });
    this.#asked(this.run.splitInto(parts));
  }

  get hasEnded(): boolean {
    return this.run.workflow.state.stage === 'ended';
  }

  /** One thing happens, by two numbers from 0 to 999. */
  live(what: number, which: number): void {
    if (what < 10) this.#asked(this.run.happen({ type: 'cancel_requested' }));
    else if (this.#open.length === 0) this.#raise();
    else this.#settle(what, this.#open.splice(which % this.#open.length, 1)[0]!);
    this.#check();
  }

  /** What the call's prompt and answer may cost at most, and some part of it. */
  #settle(what: number, call: Call): void {
    const { paramsRef, params } = call;
    const index = Number(paramsRef?.split('.').at(-1));
    const most = paramsRef === undefined ? bytesOf(params) / 2 : this.parts[index]!;
    const prompt = Math.floor((most * (what % 100)) / 99);
    const written = Math.floor((prompt * (what % 7)) / 6);
    const output = what % 3 === 0 ? outputMax(call) : what % outputMax(call);
    const usage: Usage = {
      input_tokens: prompt - written,
      cache_creation_input_tokens: written,
      output_tokens: output,
    };
    const micros = costMicros(prices[0]!, usage);
    const isFailed = what > 900;
    const content = [{ type: 'text', text: 'word '.repeat(what % 50) }];
    const stop_reason = what % 11 === 0 ? 'max_tokens' : 'end_turn';
    const answered = { message: { role: 'assistant', content, stop_reason }, usage };
    const ended = isFailed ? ({ outcome: 'failed', usage: undefined } as const) : answered;
    if (!isFailed) this.#spentMicros += micros;
    const cost = isFailed ? 0 : micros;
    this.#asked(this.run.settle(call.callId, JSON.parse(JSON.stringify(ended)), cost));
  }

  #raise(): void {
    const limits = this.#limits;
    const more = {
      ...(limits.micros === null ? {} : { usd: limits.micros / 1_000_000 + 0.01 }),
      tokens: limits.tokens + 2_000,
      iterations: limits.iterations + 3,
    };
    this.#limits = raise({ ...openLedger(this.budget), limits }, more).limits;
    this.#asked(this.run.raise(more));
  }

  #asked(commands: readonly Command[]): void {
    this.#open.push(...callsIn(commands));
    if (this.hasEnded) this.#open = [];
  }

  #check(): void {
    const { state } = this.run.workflow;
    const { released, reserved, settled } = state.ledger;
    const held = state.stage === 'ended' ? [] : state.open.map((item) => item.held);
    const open = held.reduce(plus, nothing);
    expect(reserved).toEqual(plus(plus(settled, released), open));
    const spending = plus(settled, open);
    for (const key of amounts) {
      expect(spending[key]).toBeLessThanOrEqual(this.#limits[key] ?? Number.POSITIVE_INFINITY);
    }
    if (state.stage !== 'ended') expect(settled.micros).toBe(this.#spentMicros);
  }
}

function bytesOf(params: Call['params']): number {
  const { messages, system } = JSON.parse(JSON.stringify(params));
  return Buffer.byteLength(system) + Buffer.byteLength(messages[0].content);
}

function outputMax({ params }: Call): number {
  return Number(params?.['max_tokens'] ?? answerTokens);
}

describe('the ledger of a document', () => {
  it('has reserved what is settled, released and open, and never more than the budget', () => {
    const ends = new Set<string>();
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 50, max: 3_000 }), { minLength: 1, maxLength: 40 }),
        fc.record({
          usd: fc.option(fc.integer({ min: 1, max: 400 }).map((n) => n / 1_000), { nil: null }),
          tokens: fc.integer({ min: 300, max: 60_000 }),
          iterations: fc.integer({ min: 1, max: 60 }),
        }),
        fc.constantFrom('fail' as const, 'park' as const),
        fc.infiniteStream(fc.tuple(fc.nat({ max: 999 }), fc.nat({ max: 999 }))),
        (parts, { usd, ...budget }, onReached, life) => {
          const limited = usd === null ? budget : { ...budget, usd };
          const document = new SpendingDocument(parts, limited, onReached);
          for (let turn = 0; turn < 200 && !document.hasEnded; turn += 1) {
            const [what, which] = life.next().value ?? [0, 0];
            document.live(what, which);
          }
          ends.add(document.run.workflow.status);
        },
      ),
      { numRuns: 300 },
    );
    expect([...ends]).toEqual(expect.arrayContaining(['succeeded', 'failed', 'cancelled']));
  });

  it('counts what is under way at the end at its most', () => {
    const run = new DocumentDriver();
    run.request({ budget: { usd: 1 } });
    run.split(1);
    run.now = startedAt + 1;
    run.happen({ type: 'cancel_requested' });
    // 100 tokens of a prompt that is written to the cache for an hour, and a page of an answer.
    expect(run.end()?.spent).toMatchObject({ usd: (100 * 4 + 1_024 * 10) / 1_000_000 });
  });
});
