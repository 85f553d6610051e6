import type { ServiceName } from '@millrace/contracts';

/** Which service this process is. */
export class ServiceInfo {
  constructor(
    readonly name: ServiceName,
    /** Tells replicas apart, in logs and in Kafka client ids. */
    readonly instance: string,
  ) {}
}
