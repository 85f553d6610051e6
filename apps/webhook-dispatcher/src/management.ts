import { PayloadCodec } from '@millrace/contracts';
import { createPool, TenantDatabase, type Pool } from '@millrace/postgres';
import { InternalKey, InternalKeyGuard, SecretBox } from '@millrace/runtime';
import { WorkQueue } from '@millrace/work';
import type { OnModuleDestroy, Provider, Type } from '@nestjs/common';

import { PostgresDeliveryHistory } from './adapters/postgres-delivery-history.ts';
import { PostgresEndpointRegistry } from './adapters/postgres-endpoint-registry.ts';
import { PostgresTenantDeliveries } from './adapters/postgres-tenant-deliveries.ts';
import type { Config } from './config.ts';
import { DeliveriesController } from './deliveries.controller.ts';
import { EndpointAdmin } from './endpoint-admin.ts';
import { EndpointRegistry, QueueWaker, TenantDeliveries } from './management-ports.ts';
import { DeliveryHistory } from './ports.ts';
import { TenantDeliveriesController } from './tenant-deliveries.controller.ts';
import { WebhookEndpointsController } from './webhook-endpoints.controller.ts';

/** For people's requests: none of them is on a webhook's way. */
const apiPoolMax = 4;
const apiPoolToken = Symbol('API pool');

/** What answers one tenant: endpoints, deliveries and their replay, under row level security. */
export const managementControllers: Type[] = [
  DeliveriesController,
  WebhookEndpointsController,
  TenantDeliveriesController,
];

export function managementProviders(config: Config): Provider[] {
  const egress = { allowedCidrs: config.MILLRACE_EGRESS_ALLOWED_CIDRS };
  return [
    {
      provide: apiPoolToken,
      useFactory: () =>
        createPool({
          url: config.API_DATABASE_URL,
          max: apiPoolMax,
          applicationName: 'webhook-dispatcher-api',
          pipeline: true,
        }),
    },
    {
      provide: TenantDatabase,
      inject: [apiPoolToken],
      useFactory: (pool: Pool) => new TenantDatabase(pool),
    },
    {
      provide: DeliveryHistory,
      inject: [TenantDatabase],
      useFactory: (database: TenantDatabase) => new PostgresDeliveryHistory(database),
    },
    {
      provide: EndpointRegistry,
      inject: [TenantDatabase, SecretBox],
      useFactory: (database: TenantDatabase, box: SecretBox) =>
        new PostgresEndpointRegistry(database, box),
    },
    {
      provide: TenantDeliveries,
      inject: [TenantDatabase, PayloadCodec],
      useFactory: (database: TenantDatabase, codec: PayloadCodec) =>
        new PostgresTenantDeliveries(database, codec),
    },
    { provide: QueueWaker, useExisting: WorkQueue },
    {
      provide: EndpointAdmin,
      inject: [EndpointRegistry, TenantDeliveries, QueueWaker],
      useFactory: (
        registry: EndpointRegistry,
        deliveries: TenantDeliveries,
        queue: QueueWaker,
      ) => new EndpointAdmin({ registry, deliveries, egress, wake: () => queue.wake() }),
    },
    {
      provide: ApiPoolClosing,
      inject: [apiPoolToken],
      useFactory: (pool: Pool) => new ApiPoolClosing(pool),
    },
    { provide: InternalKey, useFactory: () => new InternalKey(config.MILLRACE_INTERNAL_KEY) },
    InternalKeyGuard,
  ];
}

/** Closes the connections that requests were answered with. */
class ApiPoolClosing implements OnModuleDestroy {
  constructor(private readonly pool: Pool) {}

  onModuleDestroy(): Promise<void> {
    return this.pool.end();
  }
}
