import { topics, type TenantChanged } from '@millrace/contracts';
import { Step, type EventRecord, type StepResult } from '@millrace/kafka';
import { BadRowError } from '@millrace/postgres';
import { Logger } from '@millrace/runtime';
import { Controller } from '@nestjs/common';

import { Tenants } from './ports.ts';

/** Keeps the secrets that calls of tools are signed with. */
@Controller()
export class ChangedTenantsConsumer {
  constructor(
    private readonly tenants: Tenants,
    private readonly log: Logger,
  ) {}

  @Step(topics.tenantsChanged)
  async handle(
    records: readonly EventRecord<TenantChanged>[],
  ): Promise<StepResult<EventRecord<TenantChanged>>> {
    const results = await this.tenants.put(
      records.map(({ data }) => ({
        tenant: data.tenant,
        secrets: data.webhook_secrets,
        changedAt: new Date(data.changed_at),
      })),
    );
    results.forEach((result, i) => {
      if (result.status === 'fulfilled') return;
      // No dead letter topic stands beside this one: the next change of the tenant mends it.
      if (!(result.reason instanceof BadRowError)) throw result.reason;
      const tenant = records[i]?.data.tenant;
      this.log.error({ tenant, error: result.reason }, 'the secrets of a tenant were refused');
    });
    return {};
  }
}
