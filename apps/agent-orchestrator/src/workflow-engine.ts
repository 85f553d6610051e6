import { assertNever, type OutgoingMessage } from '@millrace/contracts';
import { BadRowError } from '@millrace/postgres';
import { extractTrace } from '@millrace/runtime';

import type { FoldedOutcome, HeldWorkflow } from './core/fold.ts';
import type { Answer } from './core/journal-entry.ts';
import { outstandingOf, type Reducers } from './core/reducers.ts';
import { unanswered } from './core/unanswered.ts';
import type { OrchestratorTelemetry } from './orchestrator-telemetry.ts';
import type { OutgoingMessages } from './outgoing-messages.ts';
import {
  Workflows,
  type Applied,
  type Arrival,
  type WorkflowBatch,
  type WorkflowName,
} from './ports.ts';

/** A swap is lost to one that was won: ten in a row are a fault, and the step tries again later. */
const swapsMax = 10;

type Done = Extract<Applied, { kind: 'done' }>;

export interface EngineParts {
  readonly workflows: Workflows;
  readonly reducers: Reducers;
  readonly messages: OutgoingMessages;
  readonly telemetry: OrchestratorTelemetry;
  /** Sends what was committed in the outbox. */
  readonly publish: (messages: readonly OutgoingMessage[]) => void;
}

/**
 * Brings events to their workflows: loaded, decided and committed in one go; who lost a swap is
 * decided again.
 *
 * E1 What is returned is to be published before the events count as taken. An event that comes
 *    again gives the same messages, out of the journal.
 * E2 A workflow that cannot be decided, or that Postgres refuses, is parked; the others go on.
 */
export class WorkflowEngine {
  constructor(private readonly parts: EngineParts) {}

  /** @throws when the database is away: whether it was committed is not known then. */
  async apply(arrivals: readonly Arrival[]): Promise<OutgoingMessage[]> {
    const messages: OutgoingMessage[] = [];
    let batches = batchesOf(arrivals);
    for (let attempt = 1; batches.length > 0; attempt += 1) {
      if (attempt > swapsMax) throw new Error(`${batches.length} workflows lost ${swapsMax} swaps`);
      const round = await this.applyOnce(batches);
      for (const message of round.messages) messages.push(message);
      this.parts.telemetry.swapsLost(round.lost.length);
      batches = round.lost;
    }
    return messages;
  }

  private async applyOnce(batches: readonly WorkflowBatch[]) {
    const results = await this.parts.workflows.apply(batches);
    const lost: WorkflowBatch[] = [];
    const messages: OutgoingMessage[] = [];
    const failures: unknown[] = [];
    for (const [i, batch] of batches.entries()) {
      const result = results[i];
      if (result?.status === 'rejected') {
        if (!(result.reason instanceof BadRowError)) failures.push(result.reason);
        else messages.push(...(await this.setApart(batch, result.reason)));
      } else if (result?.value.kind === 'lost') {
        lost.push(batch);
      } else if (result !== undefined && result.value.kind === 'done') {
        for (const message of await this.told(batch, result.value)) messages.push(message);
      }
    }
    if (failures.length > 0) throw failures[0];
    return { lost, messages };
  }

  /** What a batch of one workflow is answered with, in its order. */
  private async told(batch: WorkflowBatch, done: Done): Promise<OutgoingMessage[]> {
    const messages: OutgoingMessage[] = [];
    for (const [i, arrival] of batch.arrivals.entries()) {
      const outcome = done.outcomes[i];
      if (outcome === undefined) continue;
      this.parts.telemetry.settled(arrival, outcome, done.next);
      if (arrival.byOutbox) continue;
      for (const message of await this.messagesOf(arrival, outcome, done)) messages.push(message);
    }
    this.parts.publish(done.outbox);
    return messages;
  }

  private async messagesOf(
    arrival: Arrival,
    outcome: FoldedOutcome,
    { answered, next, trace }: Done,
  ): Promise<OutgoingMessage[]> {
    if (next === null) return [];
    const context = arrival.context ?? extractTrace(trace);
    const { messages } = this.parts;
    switch (outcome.kind) {
      case 'applied':
        return messages.of(next.head, outcome.entry, context);
      case 'known': {
        // Two copies in one batch: the first one tells.
        const answer = answered.get(arrival.event.eventId);
        if (answer === undefined) return [];
        const again =
          arrival.event.type === 'requested'
            ? [answer, ...(await this.whatBecame(arrival.workflow, next, answer))]
            : [answer];
        return again.flatMap((each) => messages.of(next.head, each, context));
      }
      case 'ignored':
      case 'unknown':
      case 'parked':
        return [];
      default:
        return assertNever(outcome);
    }
  }

  /**
   * Someone asks what became of a run: it is told how it ended, or what it waits for. Whatever it
   * asked for before and has no answer to is asked for again, since that message may be lost.
   */
  private async whatBecame(
    name: WorkflowName,
    next: HeldWorkflow,
    first: Answer,
  ): Promise<Answer[]> {
    const open = outstandingOf(this.parts.reducers, next);
    const ids = new Set(open.map(({ id }) => id));
    const versions = new Set([...open.map(({ version }) => version), next.version]);
    versions.delete(first.version);
    if (versions.size === 0) return [];
    const answers = await this.parts.workflows.answers(name, [...versions]);
    return answers.map((each) => (each.version === next.version ? each : unanswered(each, ids)));
  }

  /** One of the events is at fault: those before it count, and those after it wait. */
  private async setApart(batch: WorkflowBatch, error: BadRowError): Promise<OutgoingMessage[]> {
    if (batch.arrivals.length === 1) {
      await this.parts.workflows.park(batch);
      this.parts.telemetry.refused(batch, error);
      return [];
    }
    const messages: OutgoingMessage[] = [];
    for (const arrival of batch.arrivals) messages.push(...(await this.apply([arrival])));
    return messages;
  }
}

/** The events of each workflow, in their order. */
function batchesOf(arrivals: readonly Arrival[]): WorkflowBatch[] {
  const batches = new Map<string, { workflow: Arrival['workflow']; arrivals: Arrival[] }>();
  for (const arrival of arrivals) {
    const { workflow } = arrival;
    const key = `${workflow.tenant}/${workflow.id}/${workflow.day}`;
    const batch = batches.get(key);
    if (batch === undefined) batches.set(key, { workflow, arrivals: [arrival] });
    else batch.arrivals.push(arrival);
  }
  return [...batches.values()];
}
