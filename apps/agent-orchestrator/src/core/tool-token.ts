import { createHmac, timingSafeEqual } from 'node:crypto';

/** Whose a tool's completion is, and which asking it answers. */
export interface ToolTicket {
  readonly tenant: string;
  /** Of the job's acceptance: where the workflow's rows lie. */
  readonly day: string;
  readonly workflowId: string;
  readonly callId: string;
  readonly attempt: number;
}

/** What a token says of itself; the rest it is compared with. */
export type TicketOwner = Pick<ToolTicket, 'tenant' | 'day' | 'attempt'>;

/**
 * `v1.<tenant>.<day>.<attempt>.<HMAC>`: made here and nowhere else, so that a completion which
 * brings it back is the answer to what was asked, of that tenant and no other.
 */
export class ToolTokens {
  readonly #key: string;

  constructor(key: string) {
    this.#key = key;
  }

  make(ticket: ToolTicket): string {
    const { attempt, day, tenant } = ticket;
    return `v1.${tenant}.${day}.${attempt}.${this.#seal(ticket).toString('base64url')}`;
  }

  /** Null when it was not made here for this call. */
  read(
    token: string,
    call: { readonly workflowId: string; readonly callId: string },
  ): TicketOwner | null {
    const match = /^v1\.([a-z0-9-]+)\.(\d{4}-\d\d-\d\d)\.(\d{1,4})\.([\w-]{43})$/.exec(token);
    if (match === null) return null;
    const [, tenant = '', day = '', attempt = '', seal = ''] = match;
    const owner = { tenant, day, attempt: Number(attempt) };
    const { callId, workflowId } = call;
    const expected = this.#seal({ ...owner, callId, workflowId });
    return timingSafeEqual(expected, Buffer.from(seal, 'base64url')) ? owner : null;
  }

  #seal({ attempt, callId, day, tenant, workflowId }: ToolTicket): Buffer {
    const text = ['v1', tenant, day, attempt, workflowId, callId].join('\n');
    return createHmac('sha256', this.#key).update(text).digest();
  }
}
