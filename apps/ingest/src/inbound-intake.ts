import { setTimeout as delay } from 'node:timers/promises';

import type { InboundAnswer } from '@millrace/contracts';
import { Logger, names } from '@millrace/runtime';
import { Injectable } from '@nestjs/common';
import { trace, type Context } from '@opentelemetry/api';

import { inboundPayload } from './core/inbound-payload.ts';
import {
  handshakeOf,
  inboundFactsOf,
  isSigned,
  signatureHeaderDefault,
  type InboundRequest,
} from './core/inbound-provider.ts';
import { inboundJobId, wantsEvent, type InboundSource } from './core/inbound-source.ts';
import { renderJob } from './core/inbound-template.ts';
import { ProblemError } from './core/problem.ts';
import { JobIntake, type TakenJob } from './job-intake.ts';
import { Clock } from './ports.ts';

/** Providers hang up after some seconds, Slack after three, and try again: they are told before. */
const durableMsMax = 1_000;

/** What is answered to a provider. */
export type InboundOutcome =
  | { readonly status: 200 | 202; readonly body: InboundAnswer }
  | { readonly status: 200; readonly body: { readonly challenge: string } };

export interface ReceivedInbound {
  readonly source: InboundSource;
  readonly request: InboundRequest;
  /** Of the request's span. */
  readonly context: Context;
}

/** Turns a signed webhook of another system into a job: verify → parse → render → hand over. */
@Injectable()
export class InboundIntake {
  constructor(
    private readonly intake: JobIntake,
    private readonly clock: Clock,
    private readonly log: Logger,
  ) {}

  /** @throws ProblemError; nothing of an unsigned body is looked at. */
  async take(received: ReceivedInbound): Promise<InboundOutcome> {
    const { source, request } = received;
    this.verify(received);
    const payload = inboundPayload(request.header('content-type'), request.body);
    const handshake = handshakeOf(source.provider, request, payload);
    if (handshake?.kind === 'challenge') {
      return { status: 200, body: { challenge: handshake.challenge } };
    }
    if (handshake?.kind === 'ping') return { status: 200, body: { status: 'pong' } };
    const { deliveryId, eventType } = inboundFactsOf(source, request, payload);
    if (!wantsEvent(source, eventType)) return { status: 200, body: { status: 'ignored' } };
    const scope = { payload, event: eventType, delivery_id: deliveryId };
    return this.handOver(received, deliveryId, renderJob(source.template, scope));
  }

  private verify({ source, request, context }: ReceivedInbound): void {
    const { provider, secrets, signatureHeader } = source;
    const terms = {
      secrets,
      nowMs: this.clock.now().getTime(),
      signatureHeader: signatureHeader ?? signatureHeaderDefault,
    };
    if (isSigned(provider, request, terms)) return;
    const facts = { source: source.id, tenant: source.tenant, provider, context };
    this.log.warn(facts, 'an inbound webhook without a valid signature was refused');
    throw new ProblemError('unauthorized', 'the signature is missing, wrong or too old');
  }

  private async handOver(
    { source, context }: ReceivedInbound,
    deliveryId: string,
    submission: ReturnType<typeof renderJob>,
  ): Promise<InboundOutcome> {
    const jobId = inboundJobId(source, deliveryId);
    trace.getSpan(context)?.setAttribute(names.attribute.jobId, jobId);
    const taking = this.intake.take({
      tenant: source.tenant,
      submission: { ...submission, job_id: jobId },
      idempotencyKey: null,
      context,
    });
    const taken = await inTime(taking.catch(alreadyTaken));
    const isNew = taken !== null && !taken.replayed;
    const status = isNew ? 'accepted' : 'duplicate';
    return { status: isNew ? 202 : 200, body: { status, job_id: jobId } };
  }
}

/** What is late may be kept all the same: the next try of the delivery finds it then. */
async function inTime<T>(taking: Promise<T>): Promise<T> {
  const over = new AbortController();
  const late = delay(durableMsMax, undefined, { signal: over.signal, ref: false }).then(() => {
    throw new ProblemError('not_durable', 'the job could not be kept within a second: send again');
  });
  try {
    return await Promise.race([taking, late]);
  } finally {
    over.abort();
  }
}

/**
 * Which delivery it is, its provider says; the body may differ in a try's number or its time, and
 * the template may have changed since.
 */
function alreadyTaken(error: unknown): TakenJob | null {
  if (error instanceof ProblemError && error.code === 'idempotency_conflict') return null;
  throw error;
}
