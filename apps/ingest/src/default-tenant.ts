import { PayloadCodec, defaultTenant, topics, type TenantChanged } from '@millrace/contracts';
import { eventMessage } from '@millrace/kafka';
import { Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { ROOT_CONTEXT } from '@opentelemetry/api';

import { hashApiKey } from './core/api-key.ts';
import { Announcements, Clock, Tenants } from './ports.ts';

/** Key and secret of the tenant `default`, as the deployment gives them. */
export class DefaultCredentials {
  constructor(
    readonly apiKey: string | undefined,
    readonly webhookSecret: string | undefined,
  ) {}
}

/** Makes the tenant that the local stack works with, and tells the other services of it. */
@Injectable()
export class DefaultTenant implements OnApplicationBootstrap {
  constructor(
    private readonly credentials: DefaultCredentials,
    private readonly tenants: Tenants,
    private readonly announcements: Announcements,
    private readonly clock: Clock,
    private readonly codec: PayloadCodec,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    const { apiKey, webhookSecret } = this.credentials;
    if (apiKey === undefined || webhookSecret === undefined) return;
    const message = this.changed([webhookSecret]);
    await this.tenants.keep({
      id: defaultTenant,
      webhookSecrets: [webhookSecret],
      apiKeyHash: hashApiKey(apiKey),
      message,
    });
    this.announcements.publish([message]);
  }

  /** Told at every start: the topic is compacted, and a consumer may have begun anew. */
  private changed(webhookSecrets: string[]) {
    const now = this.clock.now();
    const changedAt = now.toISOString();
    const data: TenantChanged = {
      tenant: defaultTenant,
      webhook_secrets: webhookSecrets,
      changed_at: changedAt,
    };
    return eventMessage({
      topic: topics.tenantsChanged,
      type: 'millrace.tenant.changed.v1',
      id: `${defaultTenant}:changed:${changedAt}`,
      source: 'ingest',
      key: defaultTenant,
      time: now,
      tenant: defaultTenant,
      data,
      codec: this.codec,
      context: ROOT_CONTEXT,
    });
  }
}
