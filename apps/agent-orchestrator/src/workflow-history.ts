import {
  workflowStepsBytesMax,
  workflowStepsMax,
  type ApprovalView,
  type WorkflowAnswer,
  type WorkflowId,
  type WorkflowStep,
} from '@millrace/contracts';

import type { HeldWorkflow } from './core/fold.ts';
import { runnable, type Reducers } from './core/reducers.ts';
import { tellSteps, withinLimits, type ToldSteps } from './core/workflow-steps.ts';
import type { WorkflowView } from './core/workflow.ts';
import type { JournalPage, WorkflowName, Workflows } from './ports.ts';
import type { ByteRoom, StoredBodies } from './stored-bodies.ts';

/** Workflows of one answer, sub-agents included: what is beyond is truncated. */
const workflowsShownMax = 50;
/** Of a journal that are read at once: its bytes, and its entries. */
const pageBytesMax = 4 * 1024 * 1024;
const pageEntriesMax = 250;
/** Bytes that are read for one answer, of which 1 MiB is shown: a second's work. */
const readBytesMax = 64 * 1024 * 1024;

const nothingToView: WorkflowView = {
  approvals: [],
  spent: { usd: 0, tokens: 0, iterations: 0, tool_calls: 0 },
  signals: [],
  tainted: false,
};

interface GatheredApproval {
  readonly workflowId: WorkflowId;
  readonly approval: ApprovalView;
}

interface Gathered {
  readonly steps: WorkflowStep[];
  readonly approvals: GatheredApproval[];
  workflowsLeft: number;
  bytesLeft: number;
  truncated: boolean;
}

/** What ingest shows of a run: what it waits for, what it spent, and every step of it. */
export class WorkflowHistory {
  constructor(
    private readonly workflows: Workflows,
    private readonly reducers: Reducers,
    private readonly bodies: StoredBodies,
  ) {}

  /** Null: there is no such workflow. */
  async of(name: WorkflowName): Promise<WorkflowAnswer | null> {
    const workflow = await this.workflows.find(name);
    if (workflow === null) return null;
    const gathered: Gathered = {
      steps: [],
      approvals: [],
      workflowsLeft: workflowsShownMax,
      bytesLeft: readBytesMax,
      truncated: false,
    };
    await this.gather(name, workflow, gathered);
    const { steps, truncated } = withinLimits(await this.whole(name.tenant, gathered.steps));
    const told = this.standOf(workflow, gathered.approvals);
    return { ...told, steps, truncated: truncated || gathered.truncated };
  }

  /** The same by its row alone, however long its journal is. */
  async standing(name: WorkflowName): Promise<WorkflowAnswer | null> {
    const workflow = await this.workflows.find(name);
    if (workflow === null) return null;
    const approvals = this.viewOf(workflow).approvals.map((approval) => ({
      workflowId: workflow.id,
      approval,
    }));
    return { ...this.standOf(workflow, approvals), steps: [], truncated: false };
  }

  private standOf(workflow: HeldWorkflow, approvals: readonly GatheredApproval[]) {
    const view = this.viewOf(workflow);
    const { kind, parkedCode, status, version } = workflow;
    return {
      kind,
      status,
      version: Math.max(1, version),
      ...(parkedCode === null ? {} : { parked_code: parkedCode }),
      view: {
        ...view,
        approvals: approvals.map(({ approval }) => approval),
        signals: [...view.signals],
      },
      approval_workflows: Object.fromEntries(
        approvals.map(({ approval, workflowId }) => [approval.id, workflowId]),
      ),
    };
  }

  /** A run's steps, and after each that started a sub-agent those of it. */
  private async gather(name: WorkflowName, workflow: HeldWorkflow, into: Gathered) {
    if (into.workflowsLeft === 0 || into.steps.length > workflowStepsMax) {
      into.truncated = true;
      return;
    }
    into.workflowsLeft -= 1;
    for (const approval of this.viewOf(workflow).approvals) {
      into.approvals.push({ workflowId: workflow.id, approval });
    }
    const { children, steps } = await this.stepsOf(name, workflow.id, into);
    const childIds = new Set<string>(children);
    for (const step of steps.values()) {
      into.steps.push(step);
      if (step.kind !== 'child' || !childIds.has(step.id)) continue;
      const child = { ...name, id: step.id };
      const started = await this.workflows.find(child);
      if (started !== null) await this.gather(child, started, into);
    }
  }

  /** Each entry tells a step or more, or a timer's: as many entries as steps are enough. */
  private async stepsOf(name: WorkflowName, id: WorkflowId, into: Gathered): Promise<ToldSteps> {
    let told = tellSteps(id, []);
    let from: number | null = 1;
    while (from !== null && from <= workflowStepsMax && into.bytesLeft > 0) {
      const limit = Math.min(pageEntriesMax, workflowStepsMax + 1 - from);
      const range = { from, limit, bytesMax: pageBytesMax };
      const page: JournalPage = await this.workflows.journal(name, range);
      told = tellSteps(id, page.entries, told);
      into.bytesLeft -= page.bytes;
      from = page.next;
    }
    if (from !== null) into.truncated = true;
    return told;
  }

  /** What was too large for the journal, or is the part of a document, as far as it is shown. */
  private async whole(tenant: string, steps: readonly WorkflowStep[]): Promise<WorkflowStep[]> {
    const room = { bytesLeft: workflowStepsBytesMax };
    const whole: WorkflowStep[] = [];
    for (const step of steps.slice(0, workflowStepsMax + 1)) {
      if (step.kind !== 'model_call') {
        whole.push(step);
        continue;
      }
      const { input: asked, output: said, ...rest } = step;
      const input = await this.told(tenant, { body: asked, field: 'messages' }, room);
      const output = await this.told(tenant, { body: said, field: 'content' }, room);
      const isCut = [
        asked !== undefined && input === undefined,
        said !== undefined && output === undefined,
      ].includes(true);
      whole.push({
        ...rest,
        ...(input === undefined ? {} : { input }),
        ...(output === undefined ? {} : { output }),
        ...(isCut ? { cut: true } : {}),
      });
    }
    return whole;
  }

  /** Undefined: there is no room for it, or it is kept no longer. */
  private async told(
    tenant: string,
    { body, field }: { readonly body: unknown; readonly field: string },
    room: ByteRoom,
  ): Promise<unknown> {
    // Messages and contents are lists: a string is where they lie.
    if (typeof body !== 'string') return body;
    if (room.bytesLeft <= 0) return undefined;
    return (await this.bodies.body(tenant, body, room))?.[field];
  }

  private viewOf(workflow: HeldWorkflow): WorkflowView {
    if (workflow.version === 0 || workflow.state === undefined) return nothingToView;
    const run = runnable(this.reducers, workflow);
    if (run === undefined) return nothingToView;
    return run.reducer.view(run.workflow.state);
  }
}
