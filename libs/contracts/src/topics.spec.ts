import { describe, expect, it } from '@jest/globals';

import { defaultTenant, tenantIdSchema } from './ids.ts';
import {
  createdTopicList,
  deadLetterTopicOf,
  deadLettersOf,
  findTopic,
  intakeTenantOf,
  intakeTopicOf,
  isPerTenant,
  topicConfig,
  topicList,
  topicOfTenant,
  topics,
} from './topics.ts';

const tenants = [tenantIdSchema.parse('acme'), tenantIdSchema.parse('globex-2')] as const;

describe('the topic table', () => {
  it('has every name once', () => {
    const names = topicList.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });

  it.each(topicList.map((topic) => [topic.name, topic] as const))('%s has a full row', (_, row) => {
    expect(row.name).toMatch(/^(t\.\{tenant\}\.)?[a-z]+\.[a-z]+\.v\d+$/);
    expect(row.producers).not.toEqual([]);
    expect(row.consumers).not.toEqual([]);
    expect(row.summary).toMatch(/\.$/);
    expect(Object.keys(row.types)).not.toEqual([]);
    const [tenant] = tenants;
    const name = isPerTenant(row) ? topicOfTenant(row, tenant).name : row.name;
    expect(findTopic(name)).toEqual({ ...row, name });
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

describe('a topic of each tenant', () => {
  it.each(tenants)('%s hands work over in a topic of its own, and back again', (tenant) => {
    const topic = intakeTopicOf(tenant);
    expect(topic.name).toBe(`t.${tenant}.jobs.submitted.v1`);
    expect(intakeTenantOf(topic.name)).toBe(tenant);
  });

  it('is `jobs.submitted.v1` for the tenant `default`', () => {
    expect(intakeTopicOf(defaultTenant)).toBe(topics.jobsSubmitted);
    expect(intakeTenantOf('jobs.submitted.v1')).toBe(defaultTenant);
  });

  it.each([
    't..jobs.submitted.v1',
    't.Acme.jobs.submitted.v1',
    't.a.b.jobs.submitted.v1',
    't.acme.jobs.submitted.v1.dlq',
    't.{tenant}.jobs.submitted.v1',
    't.acme.jobs.finished.v1',
    'x.t.acme.jobs.submitted.v1',
    't.jobs.submitted.v1',
  ])('%s is none', (name) => {
    expect(intakeTenantOf(name)).toBeNull();
    expect(findTopic(name)).toBeUndefined();
  });

  it('has its dead letters beside it, with room for the record and our headers', () => {
    const letters = topicOfTenant(deadLettersOf(topics.tenantSubmitted), tenants[0]);
    expect(letters.name).toBe(deadLetterTopicOf(intakeTopicOf(tenants[0]).name));
    expect(topicConfig(letters)['max.message.bytes']).toBe('1310720');
    expect(topicConfig(intakeTopicOf(tenants[0]))).toEqual({
      'message.timestamp.type': 'LogAppendTime',
      'cleanup.policy': 'delete',
      'retention.ms': String(7 * 86_400_000),
    });
  });

  it('is created with its tenant and not with the stack', () => {
    expect(createdTopicList.filter(({ name }) => name.includes('{'))).toEqual([]);
    expect(createdTopicList.map(({ name }) => name)).toContain('jobs.submitted.v1.dlq');
  });
});
