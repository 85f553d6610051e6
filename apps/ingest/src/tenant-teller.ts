import { PayloadCodec, type OutgoingMessage } from '@millrace/contracts';
import { eventMessage } from '@millrace/kafka';
import { Injectable } from '@nestjs/common';
import { ROOT_CONTEXT } from '@opentelemetry/api';

import { tenantChanged, type Tenant } from './core/tenant.ts';

/** Makes the message that tells other services of a tenant's state. */
@Injectable()
export class TenantTeller {
  constructor(private readonly codec: PayloadCodec) {}

  readonly tell = (tenant: Tenant): OutgoingMessage =>
    eventMessage({
      ...tenantChanged(tenant),
      source: 'ingest',
      codec: this.codec,
      context: ROOT_CONTEXT,
    });
}
