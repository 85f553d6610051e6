import {
  jobDayOf,
  standingPreference,
  workflowPathSchema,
  workflowQuerySchema,
  workflowsPath,
  type WorkflowAnswer,
} from '@millrace/contracts';
import { InternalKeyGuard } from '@millrace/runtime';
import {
  BadRequestException,
  Controller,
  Get,
  Headers,
  NotFoundException,
  Param,
  Query,
  UseFilters,
  UseGuards,
} from '@nestjs/common';

import { ProblemFilter } from './problem-filter.ts';
import { WorkflowHistory } from './workflow-history.ts';

/** What ingest shows of a job's workflow. A management route: no job waits for it. */
@Controller(workflowsPath.slice(1))
@UseGuards(InternalKeyGuard)
@UseFilters(ProblemFilter)
export class WorkflowsController {
  constructor(private readonly history: WorkflowHistory) {}

  @Get(':tenant/:job_id')
  async ofJob(
    @Param() path: unknown,
    @Query() query: unknown,
    @Headers('prefer') preference: string | undefined,
  ): Promise<WorkflowAnswer> {
    const named = workflowPathSchema.safeParse(path);
    const asked = workflowQuerySchema.safeParse(query);
    if (!named.success || !asked.success) throw new BadRequestException();
    const { job_id: id, tenant } = named.data;
    const name = { tenant, id, day: jobDayOf(asked.data.created_at) };
    const isStanding = preference === standingPreference;
    const answer = await (isStanding ? this.history.standing(name) : this.history.of(name));
    if (answer === null) throw new NotFoundException();
    return answer;
  }
}
