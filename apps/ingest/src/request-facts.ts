import type { TenantId } from '@millrace/contracts';
import { Injectable } from '@nestjs/common';
import { ROOT_CONTEXT, type Context } from '@opentelemetry/api';

import { ownTenant, type Principal } from './core/principal.ts';
import { withTrace } from './job-trace.ts';

interface Facts {
  readonly context: Context;
  principal?: Principal;
}

/** What the hooks found out about a request, for the handlers behind them. */
@Injectable()
export class RequestFacts {
  private readonly facts = new WeakMap<object, Facts>();

  begin(request: object, context: Context): void {
    this.facts.set(request, { context });
  }

  authenticated(request: object, principal: Principal): void {
    const facts = this.facts.get(request);
    if (facts !== undefined) facts.principal = principal;
  }

  /** The trace context of the request's span. */
  contextOf(request: object): Context {
    const known = this.facts.get(request);
    if (known !== undefined) return known.context;
    // An error that came before any hook: it still gets a trace id, which is then logged.
    const context = withTrace(ROOT_CONTEXT);
    this.begin(request, context);
    return context;
  }

  /** @throws when the route was not behind the authentication: a bug, told as one. */
  principalOf(request: object): Principal {
    const principal = this.facts.get(request)?.principal;
    if (principal === undefined) throw new TypeError('the request was not authenticated');
    return principal;
  }

  /** @throws ProblemError `forbidden` for the operator, who has no jobs. */
  tenantOf(request: object): TenantId {
    return ownTenant(this.principalOf(request));
  }
}
