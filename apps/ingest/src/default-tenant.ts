import { defaultTenant } from '@millrace/contracts';
import { Injectable, type OnApplicationBootstrap } from '@nestjs/common';

import { keptApiKey } from './core/api-key.ts';
import { Announcements, Tenants } from './ports.ts';
import { TenantTeller } from './tenant-teller.ts';

/** Key and secret of the tenant `default`, as the deployment gives them. */
export class DefaultCredentials {
  constructor(
    readonly apiKey: string | undefined,
    readonly webhookSecret: string | undefined,
  ) {}
}

/**
 * Makes the tenant that the local stack works with. The other services are told at every start:
 * the topic is compacted, and a consumer may have begun anew.
 */
@Injectable()
export class DefaultTenant implements OnApplicationBootstrap {
  constructor(
    private readonly credentials: DefaultCredentials,
    private readonly tenants: Tenants,
    private readonly teller: TenantTeller,
    private readonly announcements: Announcements,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    const { apiKey, webhookSecret: secret } = this.credentials;
    if (apiKey === undefined || secret === undefined) return;
    const given = { secret, key: keptApiKey(apiKey) };
    const { message } = await this.tenants.keep(defaultTenant, given, this.teller.tell);
    if (message !== null) this.announcements.publish([message]);
  }
}
