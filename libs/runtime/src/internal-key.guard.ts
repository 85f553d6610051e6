import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

import { httpHeaders } from '@millrace/contracts';
import {
  Injectable,
  UnauthorizedException,
  type CanActivate,
  type ExecutionContext,
} from '@nestjs/common';

/** The key that a caller has to show, if there is one. */
export class InternalKey {
  readonly #hash: Buffer | null;

  constructor(key: string | undefined) {
    this.#hash = key === undefined ? null : hashOf(key);
  }

  /** Takes as long whatever is shown. Without a key nothing opens. */
  opensTo(shown: string): boolean {
    return this.#hash !== null && timingSafeEqual(this.#hash, hashOf(shown));
  }
}

/** The part of a request that is looked at. */
interface RequestWithHeaders {
  readonly headers: IncomingHttpHeaders;
}

/** Lets other services in, and nobody else. Says no word about what was wrong. */
@Injectable()
export class InternalKeyGuard implements CanActivate {
  constructor(private readonly key: InternalKey) {}

  /** @throws UnauthorizedException */
  canActivate(context: ExecutionContext): boolean {
    const { headers } = context.switchToHttp().getRequest<RequestWithHeaders>();
    const shown = headers[httpHeaders.internalKey];
    if (typeof shown === 'string' && this.key.opensTo(shown)) return true;
    throw new UnauthorizedException();
  }
}

function hashOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
