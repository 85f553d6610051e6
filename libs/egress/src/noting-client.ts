import { Client, type buildConnector, type Dispatcher } from 'undici';

import { currentSend, type Send } from './current-send.ts';

export interface NotingClientOptions extends Client.Options {
  readonly connect: buildConnector.connector;
}

interface Connection {
  /** That went out on it. */
  requests: number;
}

/**
 * One connection at a time, as undici has it, that notes of each request whether the connection
 * was new to it. When a request goes out is known to its client alone: from its dispatch to then
 * an old connection may have been closed and another opened.
 */
export class NotingClient extends Client {
  readonly #connection: Connection;

  constructor(origin: string | URL, options: NotingClientOptions) {
    const connection = { requests: 0 };
    super(origin, {
      ...options,
      connect: (target, callback) =>
        options.connect(target, (...outcome) => {
          connection.requests = 0;
          callback(...outcome);
        }),
    });
    this.#connection = connection;
  }

  override dispatch(
    options: Dispatcher.DispatchOptions,
    handler: Dispatcher.DispatchHandler,
  ): boolean {
    const send = currentSend.getStore();
    const connection = this.#connection;
    return super.dispatch(options, new NotingHandler(handler, connection, send));
  }
}

class NotingHandler implements Dispatcher.DispatchHandler {
  constructor(
    private readonly handler: Dispatcher.DispatchHandler,
    private readonly connection: Connection,
    private readonly send: Send | undefined,
  ) {}

  onRequestStart(...args: Parameters<Required<Dispatcher.DispatchHandler>['onRequestStart']>) {
    if (this.send !== undefined) this.send.reused = this.connection.requests > 0;
    this.connection.requests += 1;
    this.handler.onRequestStart?.(...args);
  }

  onResponseStarted() {
    if (this.send !== undefined) this.send.answered = true;
    this.handler.onResponseStarted?.();
  }

  onResponseStart(...args: Parameters<Required<Dispatcher.DispatchHandler>['onResponseStart']>) {
    this.handler.onResponseStart?.(...args);
  }

  onResponseData(...args: Parameters<Required<Dispatcher.DispatchHandler>['onResponseData']>) {
    this.handler.onResponseData?.(...args);
  }

  onResponseEnd(...args: Parameters<Required<Dispatcher.DispatchHandler>['onResponseEnd']>) {
    this.handler.onResponseEnd?.(...args);
  }

  onResponseError(...args: Parameters<Required<Dispatcher.DispatchHandler>['onResponseError']>) {
    this.handler.onResponseError?.(...args);
  }
}
