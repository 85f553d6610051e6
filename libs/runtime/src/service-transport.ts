import type { CustomTransportStrategy } from '@nestjs/microservices';

/**
 * What feeds a service with events, if anything does. `runService` connects whatever a module
 * provides under this token, and closes it first when the service stops.
 */
export abstract class ServiceTransport implements CustomTransportStrategy {
  abstract listen(callback: (error?: unknown) => void): void;
  abstract close(): Promise<void>;
}
