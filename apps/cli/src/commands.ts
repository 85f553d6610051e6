import type { Command } from './command.ts';
import { getDeadLetter } from './commands/get-dead-letter.ts';
import { listDeadLetters } from './commands/list-dead-letters.ts';
import { cancelJob } from './commands/cancel-job.ts';
import { followJob } from './commands/follow-job.ts';
import { getJob } from './commands/get-job.ts';
import { getTimeline } from './commands/get-timeline.ts';
import { getSession } from './commands/get-session.ts';
import { listJobs } from './commands/list-jobs.ts';
import { getRedelivery } from './commands/get-redelivery.ts';
import { listRedeliveries } from './commands/list-redeliveries.ts';
import { redeliver } from './commands/redeliver.ts';
import { redriveDeadLetter } from './commands/redrive-dead-letter.ts';
import { redriveDeadLetters } from './commands/redrive-dead-letters.ts';
import { listApprovals } from './commands/list-approvals.ts';
import { approve, reject } from './commands/decide-approval.ts';
import { signalJob } from './commands/signal-job.ts';
import { raiseBudget } from './commands/raise-budget.ts';
import { forkJob } from './commands/fork-job.ts';
import { compareFork } from './commands/compare-fork.ts';
import { listTools } from './commands/list-tools.ts';
import { getTool } from './commands/get-tool.ts';
import { putTool } from './commands/put-tool.ts';
import { deleteTool } from './commands/delete-tool.ts';
import { uploadDocument } from './commands/upload-document.ts';
import { listDocuments } from './commands/list-documents.ts';
import { getDocument } from './commands/get-document.ts';
import { deleteDocument } from './commands/delete-document.ts';
import { listEndpoints } from './commands/list-endpoints.ts';
import { createEndpoint } from './commands/create-endpoint.ts';
import { changeEndpoint } from './commands/change-endpoint.ts';
import { deleteEndpoint } from './commands/delete-endpoint.ts';
import {
  enableEndpoint,
  getEndpoint,
  pauseEndpoint,
  resumeEndpoint,
} from './commands/act-on-endpoint.ts';
import { rotateEndpointSecret } from './commands/rotate-endpoint-secret.ts';
import { testEndpoint } from './commands/test-endpoint.ts';
import { recoverEndpoint } from './commands/recover-endpoint.ts';
import { listDeliveries } from './commands/list-deliveries.ts';
import { getDelivery } from './commands/get-delivery.ts';
import { listAttempts } from './commands/list-attempts.ts';
import { replayDelivery } from './commands/replay-delivery.ts';
import { replayDeliveries } from './commands/replay-deliveries.ts';
import { listInboundSources } from './commands/list-inbound-sources.ts';
import { getInboundSource } from './commands/get-inbound-source.ts';
import { changeInboundSource } from './commands/change-inbound-source.ts';
import { createInboundSource } from './commands/create-inbound-source.ts';
import { deleteInboundSource } from './commands/delete-inbound-source.ts';
import { addInboundSecret } from './commands/add-inbound-secret.ts';
import { createKey } from './commands/create-key.ts';
import { listKeys } from './commands/list-keys.ts';
import { revokeKey } from './commands/revoke-key.ts';
import { createTenant } from './commands/create-tenant.ts';
import { disableTenant } from './commands/disable-tenant.ts';
import { enableTenant } from './commands/enable-tenant.ts';
import { listTenants } from './commands/list-tenants.ts';
import { rotateWebhookSecret } from './commands/rotate-webhook-secret.ts';

/** Every command, in the order in which the help shows them. */
export const commands: readonly Command[] = [
  listJobs,
  getJob,
  getTimeline,
  followJob,
  cancelJob,
  getSession,
  listApprovals,
  approve,
  reject,
  signalJob,
  raiseBudget,
  forkJob,
  compareFork,
  listTools,
  getTool,
  putTool,
  deleteTool,
  uploadDocument,
  listDocuments,
  getDocument,
  deleteDocument,
  listEndpoints,
  getEndpoint,
  createEndpoint,
  changeEndpoint,
  deleteEndpoint,
  rotateEndpointSecret,
  testEndpoint,
  pauseEndpoint,
  resumeEndpoint,
  enableEndpoint,
  recoverEndpoint,
  listDeliveries,
  getDelivery,
  listAttempts,
  replayDelivery,
  replayDeliveries,
  listInboundSources,
  getInboundSource,
  createInboundSource,
  changeInboundSource,
  deleteInboundSource,
  addInboundSecret,
  redeliver,
  listRedeliveries,
  getRedelivery,
  listDeadLetters,
  getDeadLetter,
  redriveDeadLetter,
  redriveDeadLetters,
  listKeys,
  createKey,
  revokeKey,
  listTenants,
  createTenant,
  disableTenant,
  enableTenant,
  rotateWebhookSecret,
];
