import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { bisect, Gathering } from './gathering.ts';

interface Entry {
  readonly key: string;
  readonly bytes: number;
  readonly order: number;
}

const limits = { rowsMax: 5, bytesMax: 100 };

/** A script: entries that come, and moments at which a batch is taken or the oldest one ends. */
const scripts = fc.array(
  fc.oneof(
    fc.record({
      do: fc.constant('add' as const),
      key: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'),
      bytes: fc.integer({ min: 0, max: 150 }),
    }),
    fc.record({ do: fc.constant('take' as const) }),
    fc.record({ do: fc.constant('end' as const) }),
  ),
  { maxLength: 200 },
);

type Script = typeof scripts extends fc.Arbitrary<infer S> ? S : never;

/** Runs a script to its end and then drains; calls `onBatch` with the keys that are running. */
function play(
  script: Script,
  onBatch: (batch: readonly Entry[], running: readonly Entry[]) => void,
): { added: Entry[]; taken: Entry[] } {
  const gathering = new Gathering<Entry>(limits);
  const running: Entry[][] = [];
  const added: Entry[] = [];
  const taken: Entry[] = [];
  const take = (): void => {
    const batch = gathering.take();
    onBatch(batch, running.flat());
    if (batch.length > 0) running.push(batch);
    taken.push(...batch);
  };
  const end = (): void => gathering.reopen(running.shift() ?? []);
  for (const step of script) {
    if (step.do === 'add') {
      const entry = { key: step.key, bytes: step.bytes, order: added.length };
      added.push(entry);
      gathering.add(entry);
    } else if (step.do === 'take') take();
    else end();
  }
  while (gathering.waiting > 0 || running.length > 0) {
    take();
    end();
  }
  return { added, taken };
}

describe('Gathering', () => {
  it('lets every entry out exactly once', () => {
    fc.assert(
      fc.property(scripts, (script) => {
        const { added, taken } = play(script, () => undefined);
        expect(taken.map(({ order }) => order).sort((a, b) => a - b)).toEqual(
          added.map(({ order }) => order),
        );
      }),
    );
  });

  it('has a key in at most one running batch, and in it once (G1)', () => {
    fc.assert(
      fc.property(scripts, (script) => {
        play(script, (batch, running) => {
          const keys = [...batch, ...running].map(({ key }) => key);
          expect(new Set(keys).size).toBe(keys.length);
        });
      }),
    );
  });

  it('keeps the order of arrival within a key (G2)', () => {
    fc.assert(
      fc.property(scripts, (script) => {
        const lastOrder = new Map<string, number>();
        const { taken } = play(script, () => undefined);
        for (const { key, order } of taken) {
          expect(order).toBeGreaterThan(lastOrder.get(key) ?? -1);
          lastOrder.set(key, order);
        }
      }),
    );
  });

  it('sorts a batch by key and keeps it within the limits (G3, G4)', () => {
    fc.assert(
      fc.property(scripts, (script) => {
        play(script, (batch) => {
          const keys = batch.map(({ key }) => key);
          expect(keys).toEqual([...keys].sort());
          expect(batch.length).toBeLessThanOrEqual(limits.rowsMax);
          const bytes = batch.reduce((sum, entry) => sum + entry.bytes, 0);
          expect(batch.length <= 1 || bytes <= limits.bytesMax).toBe(true);
        });
      }),
    );
  });

  it('takes an entry that is larger than a whole batch, alone', () => {
    const gathering = new Gathering<Entry>(limits);
    gathering.add({ key: 'large', bytes: 1_000, order: 0 });
    gathering.add({ key: 'small', bytes: 1, order: 1 });
    expect(gathering.take().map(({ key }) => key)).toEqual(['large']);
    expect(gathering.take().map(({ key }) => key)).toEqual(['small']);
  });
});

describe('bisect', () => {
  it('isolates every bad row, applies every other once, in few statements', () => {
    const batches = fc.array(fc.boolean(), { minLength: 1, maxLength: 500 });
    fc.assert(
      fc.property(batches, (badness) => {
        const rows = badness.map((bad, row) => ({ bad: bad && row % 7 === 0, row }));
        const applied: number[] = [];
        const rejected: number[] = [];
        let statements = 0;
        const send = (batch: readonly { bad: boolean; row: number }[]): void => {
          statements += 1;
          if (!batch.some(({ bad }) => bad)) applied.push(...batch.map(({ row }) => row));
          else if (batch.length === 1) rejected.push(...batch.map(({ row }) => row));
          else bisect(batch).forEach(send);
        };
        send(rows);
        expect(rejected).toEqual(rows.filter(({ bad }) => bad).map(({ row }) => row));
        expect(applied).toEqual(rows.filter(({ bad }) => !bad).map(({ row }) => row));
        const depth = Math.ceil(Math.log2(rows.length));
        expect(statements).toBeLessThanOrEqual(1 + 2 * rejected.length * depth);
      }),
    );
  });
});
