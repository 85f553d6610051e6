import type { ServiceName, Topic } from '@millrace/contracts';

/** A handler as it was found among the controllers. */
export interface FoundHandler<H> {
  readonly topic: string;
  readonly extra: { readonly topic: Topic; readonly form: 'event' | 'raw' } | undefined;
  readonly handler: H;
  /** More than one method is marked with the same topic. */
  readonly isShared: boolean;
}

export interface StepEntry<H> {
  readonly topic: Topic;
  readonly form: 'event' | 'raw';
  readonly handler: H;
}

/**
 * Matches the handlers of a service with the topics that the table gives to it.
 *
 * @throws Error that names every topic without a handler, and every handler without a topic.
 */
export function stepTable<H>(
  service: ServiceName,
  expected: readonly Topic[],
  found: readonly FoundHandler<H>[],
): ReadonlyMap<string, StepEntry<H>> {
  const problems: string[] = [];
  const steps = new Map<string, StepEntry<H>>();
  for (const { topic, extra, handler, isShared } of found) {
    if (extra === undefined) problems.push(`the handler of ${topic} is no @Step or @RawStep`);
    else if (isShared) problems.push(`${topic} has more than one handler`);
    else if (!expected.some(({ name }) => name === topic)) {
      problems.push(`${topic} has a handler, and the topic table does not give it to ${service}`);
    } else steps.set(topic, { topic: extra.topic, form: extra.form, handler });
  }
  for (const topic of expected) {
    if (!topic.consumers.includes(service)) {
      const consumers = `the consumers of ${topic.name}`;
      problems.push(`the topic table does not name ${service} among ${consumers}`);
    }
    if (!found.some((handler) => handler.topic === topic.name)) {
      problems.push(`${topic.name} has no handler: mark a controller's method with @Step`);
    }
  }
  if (problems.length > 0) throw new Error(`steps of ${service}: ${problems.join('; ')}`);
  return steps;
}
