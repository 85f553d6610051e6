import { standingPreference, workflowAnswerSchema, workflowsPath } from '@millrace/contracts';
import { Logger } from '@millrace/runtime';
import type { Context } from '@opentelemetry/api';

import { problemOf } from '../core/internal-answer.ts';
import { Workflows, type AcceptedJob, type FoundWorkflow, type InternalService } from '../ports.ts';

/** Asks agent-orchestrator. */
export class OrchestratorWorkflows extends Workflows {
  constructor(
    private readonly orchestrator: InternalService,
    private readonly log: Logger,
  ) {
    super();
  }

  find(job: AcceptedJob, context: Context): Promise<FoundWorkflow> {
    return this.ask(job, context, {});
  }

  standing(job: AcceptedJob, context: Context): Promise<FoundWorkflow> {
    return this.ask(job, context, { prefer: standingPreference });
  }

  private async ask(
    job: AcceptedJob,
    context: Context,
    headers: Readonly<Record<string, string>>,
  ): Promise<FoundWorkflow> {
    const path = `${workflowsPath}/${job.tenant}/${job.id}`;
    const query = { created_at: job.createdAt };
    const answer = await this.orchestrator.ask({ method: 'GET', path, query, headers, context });
    if (answer === null) return { kind: 'away' };
    if (problemOf(answer)?.code === 'not_found') return { kind: 'unknown' };
    try {
      if (answer.status !== 200) throw new TypeError(`it answered ${answer.status}`);
      return { kind: 'found', workflow: workflowAnswerSchema.parse(JSON.parse(answer.body)) };
    } catch (error) {
      const { id: job_id, tenant } = job;
      this.log.error({ context, job_id, tenant, error }, 'a workflow could not be read');
      return { kind: 'away' };
    }
  }
}
