import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';

import { httpBodyBytesMax } from '@millrace/contracts';
import { Metrics, names, type Gauge } from '@millrace/runtime';
import { Injectable } from '@nestjs/common';

import { AdmissionCounter } from './admission-counter.ts';
import { roomFor, type HttpRoom } from './core/http-room.ts';
import { RefusedForNow } from './core/problem.ts';

/** How much of HTTP one process takes on at once. */
export abstract class HttpLimits {
  abstract readonly requestsMax: number;
  /** Of bodies that are being read, or whose requests are not yet answered. */
  abstract readonly bodyBytesMax: number;
}

interface Held {
  bytes: number;
}

/** The part of Node's request and response that is held here. */
export type HeldRequest = Pick<IncomingMessage, 'headers'>;
export type HeldResponse = Pick<ServerResponse, 'once'>;

/**
 * Counts the requests that this process works on, and the bytes of their bodies. A body counts
 * from before its first byte is read until its answer is out; one that does not tell its length
 * counts as the longest.
 */
@Injectable()
export class RequestsInFlight {
  private readonly held = new Map<HeldRequest, Held>();
  private bodyBytes = 0;
  private readonly bytesGauge: Gauge;
  private readonly requestsGauge: Gauge;

  constructor(
    private readonly limits: HttpLimits,
    private readonly counter: AdmissionCounter,
    metrics: Metrics,
  ) {
    this.bytesGauge = metrics.gauge(names.metric.httpBodyBytes, {
      help: 'Bytes of request bodies that are in memory, or may come to be',
    });
    this.requestsGauge = metrics.gauge(names.metric.httpInFlight, {
      help: 'HTTP requests under way, without open event streams',
    });
  }

  /** Notes a request until its response is over. @throws RefusedForNow when there are too many. */
  enter(request: HeldRequest, response: HeldResponse): void {
    this.refuseIfFull(0);
    this.held.set(request, { bytes: 0 });
    response.once('close', () => this.leave(request));
    this.show();
  }

  /** Makes room for its body. @throws RefusedForNow when there is none; nothing is read then. */
  expectBody(request: HeldRequest): void {
    const held = this.held.get(request);
    const bytes = bodyLengthOf(request.headers);
    if (held === undefined || bytes === 0) return;
    this.refuseIfFull(bytes);
    held.bytes = bytes;
    this.bodyBytes += bytes;
    this.show();
  }

  /** The request is answered, or goes on as a stream which needs no body. Idempotent. */
  leave(request: HeldRequest): void {
    this.bodyBytes -= this.held.get(request)?.bytes ?? 0;
    this.held.delete(request);
    this.show();
  }

  private refuseIfFull(bytes: number): void {
    const now: HttpRoom = { requests: this.held.size, bodyBytes: this.bodyBytes };
    const room = roomFor(bytes, now, { limits: this.limits, random: Math.random() });
    if (room.kind === 'enough') return;
    this.counter.refused({ reason: room.reason, via: 'http' });
    throw new RefusedForNow('overloaded', room.detail, room.retryAfterSeconds);
  }

  private show(): void {
    this.bytesGauge.set(this.bodyBytes);
    this.requestsGauge.set(this.held.size);
  }
}

/** Bytes that a body may come to, by its headers; 0 when there is none. */
export function bodyLengthOf(headers: IncomingHttpHeaders): number {
  if (headers['transfer-encoding'] !== undefined) return httpBodyBytesMax;
  const length = Number(headers['content-length'] ?? 0);
  return Number.isSafeInteger(length) && length > 0 ? length : 0;
}
