import { topics, type TenantChanged } from '@millrace/contracts';
import { Step, type EventRecord, type StepResult } from '@millrace/kafka';
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
    const refused = await this.tenants.put(records.map(({ data }) => data));
    // No dead letter topic stands beside this one.
    for (const { tenant, error } of refused) {
      this.log.error({ tenant, error }, 'the secrets of a tenant were refused');
    }
    return {};
  }
}
