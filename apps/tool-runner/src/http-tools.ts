import type { SigningKeys } from '@millrace/egress';

import { attemptNumber, type Execution } from './core/execution.ts';
import { httpToolRequest } from './core/http-request.ts';
import { httpResult } from './core/http-result.ts';
import type { ToolResult } from './core/outcome.ts';
import type { ExecutionTelemetry } from './execution-telemetry.ts';
import type { Courier, Tenants } from './ports.ts';
import { ToolCaller, type ToolCall } from './tool-calls.ts';

/** Calls HTTP tools: one signed POST an attempt. */
export class HttpTools extends ToolCaller {
  constructor(
    private readonly options: {
      readonly courier: Courier;
      readonly tenants: Tenants;
      readonly telemetry: ExecutionTelemetry;
    },
  ) {
    super();
  }

  async call(call: ToolCall) {
    const { checkLease, execution, request, signal, timeoutMs, tool, traceHeaders } = call;
    const { target, result_bytes_max: bytesMax, retries } = tool.content;
    if (target.kind !== 'http') throw new TypeError('not an HTTP tool');
    const keys = await this.signingKeysOf(execution);
    if (keys === 'unavailable') return { kind: 'postponed', reason: 'own_fault' } as const;
    if (keys === null) return { kind: 'postponed', reason: 'tenant_unknown' } as const;
    const { body, headers } = httpToolRequest({
      request,
      attempt: attemptNumber(execution),
      headers: target.headers ?? {},
      keys,
      nowMs: Date.now(),
      traceHeaders,
    });
    checkLease();
    const result = await this.options.courier.exchange({
      url: target.url,
      headers,
      body,
      signal,
      timeoutMs,
      bodyBytesMax: bytesMax,
      // By its `Idempotency-Key`; who wants no retries may not look at that.
      idempotent: retries > 0,
    });
    return httpResult(result, { bytesMax, timeoutMs, nowMs: Date.now() }) satisfies ToolResult;
  }

  /** Lost infrastructure is our own fault, not the tool's: it costs the call nothing. */
  private async signingKeysOf(
    execution: Execution,
  ): Promise<readonly SigningKeys[] | null | 'unavailable'> {
    const { telemetry, tenants } = this.options;
    try {
      const keys = await tenants.signingKeysOf(execution.tenant);
      if (keys === null) telemetry.secretsMissing(execution);
      return keys;
    } catch (error) {
      telemetry.secretsMissing(execution, error);
      return 'unavailable';
    }
  }
}
