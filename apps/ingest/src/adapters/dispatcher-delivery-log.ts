import {
  deliveriesPath,
  httpHeaders,
  jobDeliveriesSchema,
  type JobDeliveriesQuery,
  type JobDelivery,
} from '@millrace/contracts';
import { Logger } from '@millrace/runtime';
import type { Context } from '@opentelemetry/api';

import { DeliveryLog, type JobPlace } from '../ports.ts';

/** Somebody waits for a timeline: what is missing by then is said to be missing. */
const answerMsMax = 2_000;
/** Of webhook-dispatcher's answer: a hundred times what a job with every attempt has. */
const answerBytesMax = 1024 * 1024;

export interface DispatcherAddress {
  readonly url: string;
  readonly key: string;
}

/** Asks webhook-dispatcher by HTTP. */
export class DispatcherDeliveryLog extends DeliveryLog {
  /** @param address null when this deployment gives none. */
  constructor(
    private readonly address: DispatcherAddress | null,
    private readonly log: Logger,
  ) {
    super();
  }

  async deliveriesOf(job: JobPlace, context: Context): Promise<readonly JobDelivery[] | null> {
    if (this.address === null) return null;
    try {
      const response = await ask(this.address, job);
      return jobDeliveriesSchema.parse(JSON.parse(await readBounded(response))).deliveries;
    } catch (error) {
      const { id: job_id, tenant } = job;
      this.log.warn({ context, job_id, tenant, error }, 'a timeline lacks its deliveries');
      return null;
    }
  }
}

function ask({ key, url }: DispatcherAddress, { day, id, tenant }: JobPlace): Promise<Response> {
  // In the query, where a job that is named `..` is no path.
  const query: JobDeliveriesQuery = { tenant, job_id: id, day };
  const target = new URL(deliveriesPath, url);
  target.search = new URLSearchParams(query).toString();
  return fetch(target, {
    headers: { [httpHeaders.internalKey]: key },
    // The key is not carried on to wherever an answer points.
    redirect: 'error',
    signal: AbortSignal.timeout(answerMsMax),
  });
}

async function readBounded(response: Response): Promise<string> {
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new TypeError(`it answered ${response.status}`);
  }
  const body: AsyncIterable<Uint8Array> | null = response.body;
  if (body === null) throw new TypeError('it answered without a body');
  const parts: Uint8Array[] = [];
  let bytes = 0;
  // Leaving the loop early cancels the body.
  for await (const part of body) {
    bytes += part.length;
    if (bytes > answerBytesMax) throw new TypeError(`it answered over ${answerBytesMax} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}
