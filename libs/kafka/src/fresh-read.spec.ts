import { expect, it } from '@jest/globals';

import { FreshRead } from './fresh-read.ts';

/** Reads that are answered by hand. */
function manual() {
  const answers: ((value: number | Error) => void)[] = [];
  const read = new FreshRead(
    () =>
      new Promise<number>((resolve, reject) => {
        answers.push((value) => (value instanceof Error ? reject(value) : resolve(value)));
      }),
  );
  return { answers, read };
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

it('is shared by those who ask before it begins, and by nobody who asks after', async () => {
  const { answers, read } = manual();
  const [first, second] = [read.read(), read.read()];
  await turn();
  expect(answers).toHaveLength(1);
  const [third, fourth] = [read.read(), read.read()];
  await turn();
  expect(answers).toHaveLength(1);
  answers[0]?.(1);
  expect(await Promise.all([first, second])).toEqual([1, 1]);
  await turn();
  answers[1]?.(2);
  expect(await Promise.all([third, fourth])).toEqual([2, 2]);
  expect(answers).toHaveLength(2);
});

it('that failed is told to those who shared it, and the next one is made', async () => {
  const { answers, read } = manual();
  const failing = read.read();
  await turn();
  const next = read.read();
  answers[0]?.(new Error('away'));
  await expect(failing).rejects.toThrow('away');
  await turn();
  answers[1]?.(7);
  expect(await next).toBe(7);
});
