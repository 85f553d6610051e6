import { jobIdSchema, type Timeline } from '@millrace/contracts';
import { Controller, Get, Param, Req } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';

import { ProblemError } from './core/problem.ts';
import { eventsOfDeliveries, eventsOfJob, mergeTimeline } from './core/timeline.ts';
import { DeliveryLog, JobTimelines } from './ports.ts';
import { RequestFacts } from './request-facts.ts';

/** `GET /v1/jobs/{id}/timeline`. Without webhook-dispatcher it answers with what is known here. */
@Controller('v1/jobs/:id/timeline')
export class JobTimelineController {
  constructor(
    private readonly timelines: JobTimelines,
    private readonly deliveries: DeliveryLog,
    private readonly requests: RequestFacts,
  ) {}

  @Get()
  async get(@Req() request: FastifyRequest, @Param('id') given: string): Promise<Timeline> {
    const id = jobIdSchema.safeParse(given);
    const tenant = this.requests.tenantOf(request);
    const found = id.success ? await this.timelines.find({ tenant, id: id.data }) : null;
    // Another tenant's job is not there: its existence is nobody's business.
    if (found === null) throw new ProblemError('not_found', 'there is no job of this id');
    const { history, isFull, place, traceId } = found;
    const context = this.requests.contextOf(request);
    const deliveries = await this.deliveries.deliveriesOf(place, context);
    const told = [...eventsOfJob(history), ...eventsOfDeliveries(deliveries ?? [])];
    const { events, truncated } = mergeTimeline(told);
    return {
      job_id: place.id,
      status: history.status,
      trace_id: traceId,
      events,
      truncated: truncated || isFull,
      incomplete: deliveries === null ? ['webhook-dispatcher'] : [],
    };
  }
}
