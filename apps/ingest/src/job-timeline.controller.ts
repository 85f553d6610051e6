import { jobIdSchema, type Timeline } from '@millrace/contracts';
import { Controller, Get, Param, Req } from '@nestjs/common';
import type { Context } from '@opentelemetry/api';
import type { FastifyRequest } from 'fastify';

import { ProblemError } from './core/problem.ts';
import {
  eventsOfDeliveries,
  eventsOfJob,
  eventsOfSteps,
  mergeTimeline,
} from './core/timeline.ts';
import {
  DeliveryLog,
  JobTimelines,
  Workflows,
  type FoundHistory,
  type FoundWorkflow,
} from './ports.ts';
import { RequestFacts } from './request-facts.ts';

/** `GET /v1/jobs/{id}/timeline`. Without the other services it answers with what is known here. */
@Controller('v1/jobs/:id/timeline')
export class JobTimelineController {
  constructor(
    private readonly timelines: JobTimelines,
    private readonly deliveries: DeliveryLog,
    private readonly workflows: Workflows,
    private readonly requests: RequestFacts,
  ) {}

  @Get()
  async get(@Req() request: FastifyRequest, @Param('id') given: string): Promise<Timeline> {
    const id = jobIdSchema.safeParse(given);
    const tenant = this.requests.tenantOf(request);
    const found = id.success ? await this.timelines.find({ tenant, id: id.data }) : null;
    // Another tenant's job is not there: its existence is nobody's business.
    if (found === null) throw new ProblemError('not_found', 'there is no job of this id');
    const context = this.requests.contextOf(request);
    const [deliveries, run] = await Promise.all([
      this.deliveries.deliveriesOf(found.place, context),
      this.runOf(found, context),
    ]);
    const workflow = run.kind === 'found' ? run.workflow : null;
    const { events, truncated } = mergeTimeline([
      ...eventsOfJob(found.history),
      ...eventsOfSteps(workflow?.steps ?? []),
      ...eventsOfDeliveries(deliveries ?? []),
    ]);
    return {
      job_id: found.place.id,
      status: found.history.status,
      trace_id: found.traceId,
      events,
      spent: workflow?.view.spent,
      limits: workflow?.view.limits,
      limit_reached: workflow?.view.limit_reached,
      truncated: truncated || found.isFull || workflow?.truncated === true,
      incomplete: [
        ...(deliveries === null ? (['webhook-dispatcher'] as const) : []),
        ...(run.kind === 'away' ? (['agent-orchestrator'] as const) : []),
      ],
    };
  }

  /** A message has no run, and nobody is asked for one. */
  private async runOf(found: FoundHistory, context: Context): Promise<FoundWorkflow> {
    if (found.type === 'message') return { kind: 'unknown' };
    const createdAt = found.history.createdAt.toISOString();
    return this.workflows.find({ ...found.place, createdAt }, context);
  }
}
