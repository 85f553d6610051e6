import type { IncomingHttpHeaders } from 'node:http';

import {
  verifyWebhook,
  type VerifiedWebhook,
  type VerifyWebhookOptions,
} from './verify-webhook.ts';

/** What the guard leaves in the request for the controller. */
export interface WebhookRequest {
  readonly headers: IncomingHttpHeaders;
  /** Nest keeps it when the application was made with `rawBody: true`. */
  readonly rawBody?: Buffer;
  webhook?: VerifiedWebhook;
}

/** As much of Nest's `ExecutionContext` as is needed: this package does not bring Nest. */
interface Context {
  switchToHttp(): { getRequest(): unknown };
}

/**
 * A guard for Nest: `@UseGuards(new WebhookGuard({ secret }))` on the route, and `rawBody: true`
 * for the application. The controller finds the webhook in `request.webhook`.
 */
export class WebhookGuard {
  constructor(
    private readonly options: Pick<
      VerifyWebhookOptions,
      'secret' | 'scheme' | 'toleranceSeconds'
    >,
  ) {}

  /** @throws WebhookVerificationError, which Nest answers with 401. */
  canActivate(context: Context): boolean {
    const request = context.switchToHttp().getRequest();
    if (!isWebhookRequest(request)) throw new TypeError('this is no HTTP request');
    const { headers, rawBody } = request;
    if (rawBody === undefined) {
      throw new TypeError('make the application with `rawBody: true`: signatures are of bytes');
    }
    request.webhook = verifyWebhook({ headers, body: rawBody, ...this.options });
    return true;
  }
}

function isWebhookRequest(request: unknown): request is WebhookRequest {
  return typeof request === 'object' && request !== null && 'headers' in request;
}
