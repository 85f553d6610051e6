/** How long a connection may take its time. Milliseconds. */
export interface HttpTimes {
  /** For the headers, from the connection or from the end of the request before. */
  readonly headersMsMax: number;
  /** For the whole request: a trickle must not hold a connection. */
  readonly requestMsMax: number;
  /** How often connections are looked at; it adds to the two above. Node's own is 30 s. */
  readonly lookEveryMs: number;
}

/** 10 s for headers of 16 KiB, 30 s for a body: 10 MiB need 2.8 Mbit/s. */
export const httpTimesDefault: HttpTimes = {
  headersMsMax: 10_000,
  requestMsMax: 30_000,
  lookEveryMs: 1_000,
};

/** Bytes of all headers of one request; more is refused with 431 before it is kept. */
const headerBytesMax = 16 * 1024;
/** Longer than the minute after which common load balancers give up an idle connection. */
const keepAliveMs = 72_000;

/** What every HTTP server of ours tells Fastify, so that a slow client costs a bounded time. */
export function httpServerOptions(times: HttpTimes = httpTimesDefault) {
  return {
    requestTimeout: times.requestMsMax,
    keepAliveTimeout: keepAliveMs,
    http: {
      headersTimeout: times.headersMsMax,
      connectionsCheckingInterval: times.lookEveryMs,
      maxHeaderSize: headerBytesMax,
    },
  };
}
