import type { Command } from './command.ts';
import { getDeadLetter } from './commands/get-dead-letter.ts';
import { listDeadLetters } from './commands/list-dead-letters.ts';
import { cancelJob } from './commands/cancel-job.ts';
import { getJob } from './commands/get-job.ts';
import { listJobs } from './commands/list-jobs.ts';
import { getRedelivery } from './commands/get-redelivery.ts';
import { listRedeliveries } from './commands/list-redeliveries.ts';
import { redeliver } from './commands/redeliver.ts';
import { redriveDeadLetter } from './commands/redrive-dead-letter.ts';
import { redriveDeadLetters } from './commands/redrive-dead-letters.ts';
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
  cancelJob,
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
