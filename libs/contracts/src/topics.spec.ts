import { describe, expect, it } from '@jest/globals';

import { deadLetterTopicOf, findTopic, topicList } from './topics.ts';

describe('the topic table', () => {
  it('has every name once', () => {
    const names = topicList.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });

  it.each(topicList.map((topic) => [topic.name, topic] as const))('%s has a full row', (_, row) => {
    expect(row.name).toMatch(/^[a-z]+\.[a-z]+\.v\d+$/);
    expect(row.producers).not.toEqual([]);
    expect(row.consumers).not.toEqual([]);
    expect(row.summary).toMatch(/\.$/);
    expect(Object.keys(row.types)).not.toEqual([]);
    expect(findTopic(row.name)).toBe(row);
  });

  it('names a type after this product, with a version', () => {
    const types = topicList.flatMap((topic) => Object.keys(topic.types));
    expect(types.filter((type) => !/^millrace\.[a-z]+\.[a-z-]+\.v\d+$/.test(type))).toEqual([]);
  });

  it('has dead letters beside what outsiders write', () => {
    const open = topicList.filter(({ direction }) => direction === 'public-in');
    expect(open.every(({ deadLetters }) => deadLetters)).toBe(true);
  });

  it('knows no topic of others, and no dead letter topic', () => {
    expect(findTopic('orders')).toBeUndefined();
    expect(findTopic(deadLetterTopicOf('jobs.submitted.v1'))).toBeUndefined();
  });
});
