import type { z } from 'zod';

import {
  claudeBacklogSchema,
  claudeCancelRequestedSchema,
  claudeDeltaSchema,
  claudeRequestedSchema,
  jobFinishedSchema,
  jobProgressedSchema,
  tenantChangedSchema,
  workflowCancelRequestedSchema,
  workflowRequestedSchema,
} from './events.ts';
import {
  claudeCompletedSchema,
  documentSplitRequestedSchema,
  documentSplitSchema,
  jobStepSchema,
  toolCancelRequestedSchema,
  toolCompletedSchema,
  toolDescribedSchema,
  toolDescribeRequestedSchema,
  toolRequestedSchema,
  toolRunRequestedSchema,
  workflowApprovalDecidedSchema,
  workflowBudgetRaisedSchema,
  workflowChildFinishedSchema,
  workflowSignalledSchema,
} from './workflow-events.ts';
import { defaultTenant, tenantIdSchema, type TenantId } from './ids.ts';
import { jobSubmissionSchema } from './jobs.ts';
import {
  deliveryExhaustedSchema,
  endpointDisabledSchema,
  endpointFailingSchema,
} from './webhook-notices.ts';

export type ServiceName =
  | 'ingest'
  | 'claude-worker'
  | 'agent-orchestrator'
  | 'tool-runner'
  | 'webhook-dispatcher';

/** One row of the topic table. Creation, ACLs, AsyncAPI and the repo's tests come from it. */
export interface Topic<Data = unknown> {
  /** With `{tenant}` in it the row stands for one topic of each tenant. */
  readonly name: string;
  readonly summary: string;
  readonly direction: 'public-in' | 'public-out' | 'internal';
  /** What the record's key says: records of one key stay in order. */
  readonly key: string;
  readonly types: Readonly<Record<string, z.ZodType<Data>>>;
  readonly producers: readonly (ServiceName | 'upstream')[];
  readonly consumers: readonly (ServiceName | 'subscriber')[];
  readonly partitions: number;
  readonly retentionMs: number;
  readonly cleanup: 'delete' | 'compact';
  /** Whether `<name>.dlq` exists beside it. */
  readonly deadLetters: boolean;
  /** Whether it is such a one itself. */
  readonly isDeadLetters?: boolean;
}

const dayMs = 86_400_000;
/** A dead letter is looked at by people, days later. */
const deadLetterRetentionMs = 30 * dayMs;
/** Partitions of the local stack: 3 consumed concurrently cost half of what 12 do. */
const partitionsDefault = 3;

export const topics = {
  jobsSubmitted: {
    name: 'jobs.submitted.v1',
    summary: 'Work handed over by upstream systems of the tenant `default`.',
    direction: 'public-in',
    key: 'session id or job id',
    types: { 'millrace.job.submitted.v1': jobSubmissionSchema },
    // ingest: a record that is redriven goes back to where it lay.
    producers: ['upstream', 'ingest'],
    consumers: ['ingest'],
    partitions: partitionsDefault,
    retentionMs: 7 * dayMs,
    cleanup: 'delete',
    deadLetters: true,
  },
  tenantSubmitted: {
    name: 't.{tenant}.jobs.submitted.v1',
    summary: 'Work handed over by upstream systems of one other tenant, whom the name says.',
    direction: 'public-in',
    key: 'session id or job id',
    types: { 'millrace.job.submitted.v1': jobSubmissionSchema },
    // ingest: as above.
    producers: ['upstream', 'ingest'],
    consumers: ['ingest'],
    partitions: partitionsDefault,
    retentionMs: 7 * dayMs,
    cleanup: 'delete',
    deadLetters: true,
  },
  jobsFinished: {
    name: 'jobs.finished.v1',
    summary: 'The one terminal event of every job.',
    direction: 'public-out',
    key: 'job id',
    types: {
      'millrace.job.succeeded.v1': jobFinishedSchema,
      'millrace.job.failed.v1': jobFinishedSchema,
      'millrace.job.cancelled.v1': jobFinishedSchema,
      'millrace.job.expired.v1': jobFinishedSchema,
    },
    producers: ['ingest', 'claude-worker', 'agent-orchestrator'],
    consumers: ['ingest', 'webhook-dispatcher', 'subscriber'],
    partitions: partitionsDefault,
    retentionMs: 14 * dayMs,
    cleanup: 'delete',
    deadLetters: true,
  },
  jobsProgressed: {
    name: 'jobs.progressed.v1',
    summary: 'Jobs that run longer than a second, and attempts that did not end theirs.',
    direction: 'internal',
    key: 'job id',
    types: { 'millrace.job.progressed.v1': jobProgressedSchema },
    producers: ['claude-worker', 'agent-orchestrator'],
    consumers: ['ingest'],
    partitions: partitionsDefault,
    retentionMs: dayMs,
    cleanup: 'delete',
    deadLetters: false,
  },
  claudeRequested: {
    name: 'claude.requested.v1',
    summary: 'One model call to be made, or to be cancelled.',
    direction: 'internal',
    key: 'tenant and session id, or tenant and job id',
    types: {
      'millrace.claude.requested.v1': claudeRequestedSchema,
      'millrace.claude.cancel-requested.v1': claudeCancelRequestedSchema,
    },
    producers: ['ingest', 'agent-orchestrator'],
    consumers: ['claude-worker'],
    partitions: partitionsDefault,
    retentionMs: 7 * dayMs,
    cleanup: 'delete',
    deadLetters: true,
  },
  claudeDeltas: {
    name: 'claude.deltas.v1',
    summary: 'Text of streamed answers as it is written, and steps of the runs that ask for it.',
    direction: 'internal',
    key: 'tenant and job id',
    types: {
      'millrace.claude.delta.v1': claudeDeltaSchema,
      'millrace.job.step.v1': jobStepSchema,
    },
    producers: ['claude-worker', 'agent-orchestrator'],
    consumers: ['ingest'],
    partitions: partitionsDefault,
    retentionMs: 3_600_000,
    cleanup: 'delete',
    deadLetters: false,
  },
  claudeBacklog: {
    name: 'claude.backlog.v1',
    summary: 'How many model calls wait, and for how long.',
    direction: 'internal',
    key: 'worker',
    types: { 'millrace.claude.backlog.v1': claudeBacklogSchema },
    producers: ['claude-worker'],
    consumers: ['ingest'],
    partitions: 1,
    retentionMs: -1,
    cleanup: 'compact',
    deadLetters: false,
  },
  workflowsRequested: {
    name: 'workflows.requested.v1',
    summary: 'Agent and document jobs to be run, and what people and sub-agents tell them.',
    direction: 'internal',
    key: 'tenant and workflow id',
    types: {
      'millrace.workflow.requested.v1': workflowRequestedSchema,
      'millrace.workflow.cancel-requested.v1': workflowCancelRequestedSchema,
      'millrace.workflow.signalled.v1': workflowSignalledSchema,
      'millrace.workflow.approval-decided.v1': workflowApprovalDecidedSchema,
      'millrace.workflow.budget-raised.v1': workflowBudgetRaisedSchema,
      'millrace.workflow.child-finished.v1': workflowChildFinishedSchema,
    },
    producers: ['ingest', 'agent-orchestrator'],
    consumers: ['agent-orchestrator'],
    partitions: partitionsDefault,
    retentionMs: 7 * dayMs,
    cleanup: 'delete',
    deadLetters: false,
  },
  claudeCompleted: {
    name: 'claude.completed.v1',
    summary: 'How the model calls of workflows ended.',
    direction: 'internal',
    key: 'tenant and workflow id',
    types: { 'millrace.claude.completed.v1': claudeCompletedSchema },
    producers: ['claude-worker'],
    consumers: ['agent-orchestrator'],
    partitions: partitionsDefault,
    retentionMs: 7 * dayMs,
    cleanup: 'delete',
    deadLetters: false,
  },
  toolsRun: {
    name: 'tools.run.v1',
    summary: 'Calls of registered tools, and of what else tool-runner does for workflows.',
    direction: 'internal',
    key: 'tenant and workflow id',
    types: {
      'millrace.tool.run-requested.v1': toolRunRequestedSchema,
      'millrace.tool.cancel-requested.v1': toolCancelRequestedSchema,
      'millrace.tool.describe-requested.v1': toolDescribeRequestedSchema,
      'millrace.document.split-requested.v1': documentSplitRequestedSchema,
    },
    producers: ['agent-orchestrator'],
    consumers: ['tool-runner'],
    partitions: partitionsDefault,
    retentionMs: 7 * dayMs,
    cleanup: 'delete',
    deadLetters: false,
  },
  toolsRequested: {
    name: 'tools.requested.v1',
    summary: 'Calls of tools that workers of the tenant `default` serve.',
    direction: 'public-out',
    key: 'workflow id',
    types: { 'millrace.tool.requested.v1': toolRequestedSchema },
    producers: ['agent-orchestrator'],
    consumers: ['subscriber'],
    partitions: partitionsDefault,
    retentionMs: dayMs,
    cleanup: 'delete',
    deadLetters: false,
  },
  tenantToolsRequested: {
    name: 't.{tenant}.tools.requested.v1',
    summary: 'Calls of tools that workers of one other tenant serve, whom the name says.',
    direction: 'public-out',
    key: 'workflow id',
    types: { 'millrace.tool.requested.v1': toolRequestedSchema },
    producers: ['agent-orchestrator'],
    consumers: ['subscriber'],
    partitions: partitionsDefault,
    retentionMs: dayMs,
    cleanup: 'delete',
    deadLetters: false,
  },
  toolsCompleted: {
    name: 'tools.completed.v1',
    summary: 'Results of tools, by tool-runner or by workers of tenants.',
    direction: 'public-in',
    key: 'workflow id',
    types: {
      'millrace.tool.completed.v1': toolCompletedSchema,
      'millrace.tool.described.v1': toolDescribedSchema,
      'millrace.document.split.v1': documentSplitSchema,
    },
    producers: ['tool-runner', 'upstream'],
    consumers: ['agent-orchestrator'],
    partitions: partitionsDefault,
    retentionMs: 7 * dayMs,
    cleanup: 'delete',
    deadLetters: true,
  },
  webhookNotices: {
    name: 'webhooks.notices.v1',
    summary: 'What became of webhook endpoints, and of deliveries to them that were given up.',
    direction: 'public-out',
    key: 'endpoint id',
    types: {
      'millrace.endpoint.failing.v1': endpointFailingSchema,
      'millrace.endpoint.disabled.v1': endpointDisabledSchema,
      'millrace.delivery.exhausted.v1': deliveryExhaustedSchema,
    },
    producers: ['webhook-dispatcher'],
    consumers: ['webhook-dispatcher', 'subscriber'],
    partitions: partitionsDefault,
    retentionMs: 14 * dayMs,
    cleanup: 'delete',
    deadLetters: false,
  },
  tenantsChanged: {
    name: 'tenants.changed.v1',
    summary: 'The current state of each tenant.',
    direction: 'internal',
    key: 'tenant',
    types: { 'millrace.tenant.changed.v1': tenantChangedSchema },
    producers: ['ingest'],
    consumers: ['tool-runner', 'webhook-dispatcher'],
    partitions: 1,
    retentionMs: -1,
    cleanup: 'compact',
    deadLetters: false,
  },
} as const satisfies Record<string, Topic>;

export type TopicName = (typeof topics)[keyof typeof topics]['name'];

export const topicList: readonly Topic[] = Object.values(topics);

const tenantPlace = '{tenant}';

/** Whether a row stands for one topic of each tenant. */
export function isPerTenant(row: Topic): boolean {
  return row.name.includes(tenantPlace);
}

/** The topic of one tenant, as a row of its own. */
export function topicOfTenant(row: Topic, tenant: TenantId): Topic {
  const summary = row.summary.replaceAll(row.name, row.name.replace(tenantPlace, tenant));
  return { ...row, summary, name: row.name.replace(tenantPlace, tenant) };
}

/** Whether a topic of this name is the row's, or one of the row's. */
export function isTopicOf(row: Topic, name: string): boolean {
  return isPerTenant(row) ? tenantIn(row, name) !== null : row.name === name;
}

/** Whose a topic of this name would be, when the row has one for each tenant. */
function tenantIn(row: Topic, name: string): TenantId | null {
  const [before = '', after = ''] = row.name.split(tenantPlace);
  if (!name.startsWith(before) || !name.endsWith(after)) return null;
  const tenant = tenantIdSchema.safeParse(name.slice(before.length, name.length - after.length));
  return tenant.success ? tenant.data : null;
}

/** @returns the row of this very topic, or undefined for a topic that is not ours. */
export function findTopic(name: string): Topic | undefined {
  const row = topicList.find((topic) => isTopicOf(topic, name));
  return row !== undefined && isPerTenant(row) ? { ...row, name } : row;
}

/** Whether a row of the table is where upstream systems hand jobs over. */
export function isIntakeTopic(row: Topic): boolean {
  return row.name === topics.jobsSubmitted.name || row.name === topics.tenantSubmitted.name;
}

/** The tenant that a topic takes work in for; null when it is no intake topic. */
export function intakeTenantOf(topic: string): TenantId | null {
  if (topic === topics.jobsSubmitted.name) return defaultTenant;
  return tenantIn(topics.tenantSubmitted, topic);
}

/** The topic in which a tenant hands work over. */
export function intakeTopicOf(tenant: TenantId): Topic {
  if (tenant === defaultTenant) return topics.jobsSubmitted;
  return topicOfTenant(topics.tenantSubmitted, tenant);
}

/** The dead letter topic that stands beside a topic. */
export function deadLetterTopicOf(topic: string): string {
  return `${topic}.dlq`;
}

/** A dead letter is the whole record, as large as the broker allows, and our headers. */
const deadLetterBytesMax = 1_310_720;

/**
 * The broker's settings of a topic. Its records bear the broker's time: it would refuse those of
 * a producer whose clock is an hour ahead, and keep those of one that is behind for too short.
 */
export function topicConfig(topic: Topic): Readonly<Record<string, string>> {
  return {
    'message.timestamp.type': 'LogAppendTime',
    'cleanup.policy': topic.cleanup,
    'retention.ms': String(topic.retentionMs),
    ...(topic.isDeadLetters === true ? { 'max.message.bytes': String(deadLetterBytesMax) } : {}),
  };
}

/** The dead letter topic of a row as a row of its own: ingest indexes what lies in it. */
export function deadLettersOf(topic: Topic): Topic {
  return {
    name: deadLetterTopicOf(topic.name),
    summary: `Records of ${topic.name} that nobody could use.`,
    direction: topic.direction,
    key: topic.key,
    types: {},
    producers: topic.consumers.filter((consumer) => consumer !== 'subscriber'),
    consumers: ['ingest'],
    partitions: topic.partitions,
    retentionMs: deadLetterRetentionMs,
    cleanup: 'delete',
    deadLetters: false,
    isDeadLetters: true,
  };
}

/** Every dead letter topic that stands beside a row of the table. */
export const deadLetterTopicList: readonly Topic[] = topicList
  .filter(({ deadLetters }) => deadLetters)
  .map(deadLettersOf);

/** What is created on the broker with the stack; topics of tenants come with their tenants. */
export const createdTopicList: readonly Topic[] = [...topicList, ...deadLetterTopicList].filter(
  (topic) => !isPerTenant(topic),
);
