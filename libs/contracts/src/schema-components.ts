import { z } from 'zod';

import {
  agentParamsSchema,
  approvalDecisionSchema,
  approvalListSchema,
  approvalViewSchema,
  documentParamsSchema,
  documentSourceSchema,
  forkComparisonSchema,
  forkSideSchema,
  forkSubmissionSchema,
  signalSubmissionSchema,
  subAgentSchema,
} from './agents.ts';
import { budgetLimitsSchema, budgetRaiseSchema, budgetSchema, spendingSchema } from './budgets.ts';
import {
  bytesViewSchema,
  deadLetterListSchema,
  deadLetterSummarySchema,
  deadLetterViewSchema,
  redriveSubmissionSchema,
  redriveBatchAnswerSchema,
  redriveBatchResultSchema,
  redriveBatchSchema,
  redriveViewSchema,
} from './dead-letters.ts';
import {
  deliveryAttemptListSchema,
  deliveryAttemptSchema,
  deliveryAttemptViewSchema,
  deliveryListSchema,
  deliveryViewSchema,
  replayBatchAnswerSchema,
  replayBatchSchema,
} from './deliveries.ts';
import { documentListSchema, documentViewSchema } from './documents.ts';
import { problemSchema } from './errors.ts';
import {
  childReplySchema,
  claudeBacklogSchema,
  claudeCancelRequestedSchema,
  claudeDeltaSchema,
  claudeRequestedSchema,
  jobAttemptedSchema,
  jobFinishedSchema,
  jobProgressedSchema,
  jobReplySchema,
  jobRunningSchema,
  jobStatusChangedSchema,
  replySchema,
  tenantChangedSchema,
  workflowCancelRequestedSchema,
  workflowReplySchema,
  workflowRequestedSchema,
} from './events.ts';
import {
  inboundAnswerSchema,
  inboundSecretSchema,
  inboundSourceChangeSchema,
  inboundSourceListSchema,
  inboundSourceSubmissionSchema,
  inboundSourceViewSchema,
  inboundTemplateSchema,
} from './inbound-sources.ts';
import {
  attemptSchema,
  bareSubmissionSchema,
  callbackBodySchema,
  jobBatchAnswerSchema,
  jobBatchResultSchema,
  jobBatchSchema,
  jobErrorSchema,
  jobListSchema,
  jobSubmissionSchema,
  jobViewSchema,
  messageParamsSchema,
  streamRequestSchema,
  usageSchema,
  sessionViewSchema,
} from './jobs.ts';
import {
  redeliveryListSchema,
  redeliverySubmissionSchema,
  redeliveryViewSchema,
} from './redeliveries.ts';
import {
  apiKeyListSchema,
  apiKeySubmissionSchema,
  apiKeyViewSchema,
  newApiKeySchema,
  secretRotationSchema,
  tenantListSchema,
  tenantSubmissionSchema,
  tenantViewSchema,
  tenantWithSecretSchema,
} from './tenants.ts';
import { timelineEventSchema, timelineSchema } from './timeline.ts';
import {
  toolDefinitionSchema,
  toolErrorSchema,
  toolListSchema,
  toolSubmissionSchema,
  toolTargetSchema,
  toolViewSchema,
} from './tools.ts';
import {
  endpointRecoverySchema,
  endpointSecretRotationSchema,
  endpointTestSchema,
  webhookEndpointChangeSchema,
  webhookEndpointHealthSchema,
  webhookEndpointListSchema,
  webhookEndpointSubmissionSchema,
  webhookEndpointViewSchema,
  webhookEndpointWithSecretSchema,
} from './webhook-endpoints.ts';
import { webhookBodySchema } from './webhook-events.ts';
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
import {
  deliveryExhaustedSchema,
  endpointDisabledSchema,
  endpointFailingSchema,
} from './webhook-notices.ts';

export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue };
export type JsonObject = { readonly [name: string]: JsonValue };

const httpSchemas = [
  problemSchema,
  jobSubmissionSchema,
  messageParamsSchema,
  streamRequestSchema,
  jobViewSchema,
  jobListSchema,
  sessionViewSchema,
  jobBatchSchema,
  jobBatchAnswerSchema,
  jobBatchResultSchema,
  jobErrorSchema,
  attemptSchema,
  usageSchema,
  budgetSchema,
  budgetRaiseSchema,
  budgetLimitsSchema,
  spendingSchema,
  agentParamsSchema,
  subAgentSchema,
  documentParamsSchema,
  documentSourceSchema,
  approvalViewSchema,
  approvalListSchema,
  approvalDecisionSchema,
  signalSubmissionSchema,
  forkSubmissionSchema,
  forkComparisonSchema,
  forkSideSchema,
  toolSubmissionSchema,
  toolTargetSchema,
  toolViewSchema,
  documentListSchema,
  documentViewSchema,
  toolListSchema,
  timelineSchema,
  timelineEventSchema,
  deliveryAttemptSchema,
  deliveryAttemptViewSchema,
  deliveryAttemptListSchema,
  deliveryViewSchema,
  deliveryListSchema,
  replayBatchSchema,
  replayBatchAnswerSchema,
  webhookEndpointSubmissionSchema,
  webhookEndpointChangeSchema,
  webhookEndpointHealthSchema,
  webhookEndpointViewSchema,
  webhookEndpointWithSecretSchema,
  webhookEndpointListSchema,
  endpointSecretRotationSchema,
  endpointTestSchema,
  endpointRecoverySchema,
  webhookBodySchema,
  callbackBodySchema,
  bytesViewSchema,
  deadLetterSummarySchema,
  deadLetterViewSchema,
  deadLetterListSchema,
  redriveSubmissionSchema,
  redriveViewSchema,
  redriveBatchSchema,
  redriveBatchResultSchema,
  redriveBatchAnswerSchema,
  redeliverySubmissionSchema,
  redeliveryViewSchema,
  redeliveryListSchema,
  tenantSubmissionSchema,
  tenantViewSchema,
  tenantWithSecretSchema,
  tenantListSchema,
  secretRotationSchema,
  apiKeySubmissionSchema,
  apiKeyViewSchema,
  newApiKeySchema,
  apiKeyListSchema,
  inboundSourceSubmissionSchema,
  inboundSourceChangeSchema,
  inboundSecretSchema,
  inboundSourceViewSchema,
  inboundSourceListSchema,
  inboundAnswerSchema,
  inboundTemplateSchema,
];

const eventSchemas = [
  jobSubmissionSchema,
  bareSubmissionSchema,
  claudeCancelRequestedSchema,
  claudeRequestedSchema,
  claudeDeltaSchema,
  claudeBacklogSchema,
  jobFinishedSchema,
  jobProgressedSchema,
  jobRunningSchema,
  jobAttemptedSchema,
  jobStatusChangedSchema,
  jobStepSchema,
  claudeCompletedSchema,
  workflowCancelRequestedSchema,
  workflowRequestedSchema,
  workflowSignalledSchema,
  workflowApprovalDecidedSchema,
  workflowBudgetRaisedSchema,
  workflowChildFinishedSchema,
  toolRunRequestedSchema,
  toolDescribeRequestedSchema,
  toolCancelRequestedSchema,
  toolRequestedSchema,
  toolCompletedSchema,
  toolDescribedSchema,
  toolDefinitionSchema,
  toolErrorSchema,
  documentSplitRequestedSchema,
  documentSplitSchema,
  tenantChangedSchema,
  endpointFailingSchema,
  endpointDisabledSchema,
  deliveryExhaustedSchema,
  replySchema,
  jobReplySchema,
  workflowReplySchema,
  childReplySchema,
  budgetSchema,
  budgetRaiseSchema,
  spendingSchema,
  jobErrorSchema,
  attemptSchema,
  usageSchema,
];

/** The name under which a schema stands in `components.schemas`. */
export function schemaId(schema: z.ZodType): string {
  const id = z.globalRegistry.get(schema)?.id;
  if (id === undefined) throw new TypeError('give the schema an id with .meta({ id })');
  return id;
}

/** A reference to a schema in `components.schemas`. */
export function schemaRef(schema: z.ZodType): JsonObject {
  return { $ref: componentUri(schemaId(schema)) };
}

/** JSON Schema 2020-12, as OpenAPI 3.1 reads it. */
export function httpComponents(): JsonObject {
  return components(httpSchemas, 'draft-2020-12');
}

/** JSON Schema draft 7, as AsyncAPI 3 reads it. */
export function eventComponents(): JsonObject {
  return components(eventSchemas, 'draft-7');
}

function componentUri(id: string): string {
  return `#/components/schemas/${id}`;
}

function components(
  schemas: readonly z.ZodType[],
  target: 'draft-2020-12' | 'draft-7',
): JsonObject {
  // A registry of our own: whatever else a process gives an id to stays out of the documents.
  const registry = z.registry<{ id: string; description?: string | undefined }>();
  for (const schema of schemas) {
    registry.add(schema, { ...z.globalRegistry.get(schema), id: schemaId(schema) });
  }
  const converted = z.toJSONSchema(registry, { target, io: 'input', uri: componentUri });
  return Object.fromEntries(
    Object.entries(converted.schemas).map(([id, schema]) => {
      const { $schema: _dialect, $id: _uri, id: _id, ...rest } = schema;
      return [id, jsonOf(rest)];
    }),
  );
}

const jsonSchema: z.ZodType<JsonObject> = z.record(z.string(), z.json());

/** What zod makes is JSON; parsing it says so to the compiler and drops absent fields. */
function jsonOf(value: object): JsonObject {
  return jsonSchema.parse(JSON.parse(JSON.stringify(value)));
}
