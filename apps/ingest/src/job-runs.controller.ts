import {
  approvalDecisionSchema,
  approvalIdSchema,
  budgetRaiseSchema,
  httpHeaders,
  jobIdSchema,
  signalBytesMax,
  signalSubmissionSchema,
  toolNameSchema,
  type ApprovalList,
  type JobView,
} from '@millrace/contracts';
import { Controller, Get, Param, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ulid } from 'ulid';
import { z } from 'zod';

import { idempotencyKeyOf } from './core/idempotency-key.ts';
import { parseInput } from './core/parse-body.ts';
import { ProblemError } from './core/problem.ts';
import { JobRuns } from './job-runs.ts';
import type { JobName } from './ports.ts';
import { RequestFacts } from './request-facts.ts';

/** What people tell the run of an agent or a document: approvals, signals, a larger budget. */
@Controller('v1/jobs/:id')
export class JobRunsController {
  constructor(
    private readonly runs: JobRuns,
    private readonly requests: RequestFacts,
  ) {}

  @Get('approvals')
  async approvals(
    @Req() request: FastifyRequest,
    @Param('id') given: string,
  ): Promise<ApprovalList> {
    const name = this.nameOf(request, given);
    const data = await this.runs.approvals(name, this.requests.contextOf(request));
    return { data: [...data] };
  }

  @Post('approvals/:approval_id')
  async decide(
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
    @Param() given: { readonly id: string; readonly approval_id: string },
  ): Promise<void> {
    const name = this.nameOf(request, given.id);
    const decision = parseInput(approvalDecisionSchema, request.body);
    const id = approvalIdSchema.safeParse(given.approval_id);
    if (!id.success) {
      throw new ProblemError('not_found', 'the run of this job has no approval of this id');
    }
    const context = this.requests.contextOf(request);
    accept(reply, await this.runs.decide(name, { approvalId: id.data, decision }, context));
  }

  @Post('signals/:name')
  async signal(
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
    @Param() given: { readonly id: string; readonly name: string },
  ): Promise<void> {
    const job = this.nameOf(request, given.id);
    const { name } = parseInput(signalNameSchema, { name: given.name });
    const { data, signal_id } = parseInput(signalSubmissionSchema, request.body ?? {});
    if (Buffer.byteLength(JSON.stringify(data ?? null)) > signalBytesMax) {
      throw new ProblemError('payload_too_large', `data is above ${signalBytesMax} bytes`);
    }
    const signalId = signal_id ?? keyOf(request);
    const context = this.requests.contextOf(request);
    accept(reply, await this.runs.signal(job, { name, signalId, data }, context));
  }

  @Post('budget')
  async raiseBudget(
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
    @Param('id') given: string,
  ): Promise<void> {
    const name = this.nameOf(request, given);
    const budget = parseInput(budgetRaiseSchema, request.body);
    const raise = { raiseId: keyOf(request), budget };
    accept(reply, await this.runs.raiseBudget(name, raise, this.requests.contextOf(request)));
  }

  private nameOf(request: FastifyRequest, given: string): JobName {
    const tenant = this.requests.tenantOf(request);
    const id = jobIdSchema.safeParse(given);
    if (!id.success) throw new ProblemError('not_found', 'there is no job of this id');
    return { tenant, id: id.data };
  }
}

const signalNameSchema = z.object({ name: toolNameSchema });

/** What a request says is done once for its key; without one every request is another. */
function keyOf(request: FastifyRequest): string {
  return idempotencyKeyOf(request.headers[httpHeaders.idempotencyKey]) ?? ulid();
}

function accept(reply: FastifyReply, view: JobView): void {
  void reply.status(202).header('location', `/v1/jobs/${view.id}`).send(view);
}
