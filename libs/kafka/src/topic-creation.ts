import type { Topic } from '@millrace/contracts';

/** Creates topics on the broker: those of a tenant come with it. */
export abstract class TopicCreation {
  /** Idempotent; resolves when each has a leader. @throws when the broker cannot do it now. */
  abstract create(topics: readonly Topic[]): Promise<void>;
}
