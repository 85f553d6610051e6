import { topics, type ServiceName, type Topic } from '@millrace/contracts';
import { describe, expect, it } from '@jest/globals';

import { services, sourcesOf } from './service-config.ts';

const sources = new Map(services.map((service) => [service, sourcesOf(service)]));

/** A tail of a topic: what follows it for server-sent events. */
const tail = (key: string) => new RegExp(`new TopicTail\\([^;]*?topics\\.${key}\\b`, 'g');
const step = (key: string) => new RegExp(`@(?:Raw)?Step\\(\\s*topics\\.${key}\\b`);
/** An event's options name its topic so; a tail's do too. */
const event = (key: string) => new RegExp(`\\btopic: topics\\.${key}\\b`);

/** What a redrive publishes again is in one list, and nothing else is published by it. */
const redrive = (key: string) => new RegExp(`\\bredrivable[^=]*= \\[[^\\]]*\\btopics\\.${key}\\b`);

function textsOf(service: ServiceName): string[] {
  return (sources.get(service) ?? []).map(({ text }) => text);
}

function consumes(service: ServiceName, key: string): boolean {
  return textsOf(service).some((text) => step(key).test(text) || tail(key).test(text));
}

function produces(service: ServiceName, key: string): boolean {
  return textsOf(service).some(
    (text) => event(key).test(text.replaceAll(tail(key), '')) || redrive(key).test(text),
  );
}

const rows: [string, Topic][] = Object.entries(topics);

describe.each(rows)('the topic %s', (key, topic) => {
  it.each(services)('is read by %s exactly when the table says so', (service) => {
    expect(consumes(service, key)).toBe(topic.consumers.includes(service));
  });

  it.each(services)('is published by %s exactly when the table says so', (service) => {
    expect(produces(service, key)).toBe(topic.producers.includes(service));
  });
});
