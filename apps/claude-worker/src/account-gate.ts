import { type Logger, type Metrics, names } from '@millrace/runtime';

import {
  type Admission,
  admission,
  type Gate,
  gateAt,
  maySend,
  type Observation,
  observe,
  openGate,
  startCall,
  startProbe,
} from './core/gate.ts';

/** The gate before the account, as this process sees it. */
export class AccountGate {
  #gate: Gate = openGate;

  constructor(
    private readonly options: {
      readonly unitMs: number;
      readonly log: Logger;
      readonly metrics: Metrics;
      /** Calls that waited may go again. */
      readonly onOpened: () => void;
    },
  ) {
    this.#show();
  }

  get state(): Gate {
    return this.#gate;
  }

  get isOpen(): boolean {
    return this.#now().kind === 'open';
  }

  admission(): Admission {
    return admission(this.#now(), performance.now());
  }

  /** Lets a claimed call go, or holds it back: to be asked once, right before it is sent. */
  letGo(callId: string): boolean {
    const gate = this.#now();
    if (!maySend(gate, callId, performance.now())) return false;
    this.#gate = startCall(gate);
    return true;
  }

  /** When calls that are held back may look again. */
  get retryInMs(): number {
    const now = this.admission();
    return now.kind === 'none' ? now.retryInMs : 0;
  }

  sendProbe(callId: string): void {
    this.#gate = startProbe(this.#gate, callId);
  }

  /** Forgets the probe that is out, if it is one of those. */
  releaseProbe(isLost: (callId: string) => boolean): void {
    if (!('probe' in this.#gate) || this.#gate.probe === null) return;
    const { probe } = this.#gate;
    if (isLost(probe)) this.observe(probe, { kind: 'nothing' });
  }

  /** Takes the end of a call into account. @returns the gate after it. */
  observe(callId: string, observation: Observation): Gate {
    const { unitMs } = this.options;
    const before = this.#now();
    return this.#become(
      observe(before, { callId, observation, nowMs: performance.now(), unitMs }),
    );
  }

  #now(): Gate {
    return this.#become(gateAt(this.#gate, performance.now()));
  }

  #become(gate: Gate): Gate {
    const { kind } = this.#gate;
    this.#gate = gate;
    if (gate.kind !== kind) this.#changed(kind);
    return gate;
  }

  #changed(before: Gate['kind']): void {
    const { log, onOpened } = this.options;
    const fields = { event: names.event.gateChanged, before, gate: this.#gate.kind };
    this.#show();
    switch (this.#gate.kind) {
      case 'parked':
        log.error(fields, 'Claude refuses the account: check the API key, billing and limits');
        return;
      case 'unhealthy':
      case 'rate_limited':
        log.warn(fields, 'the gate to Claude is shut');
        return;
      case 'open':
        log.info(fields, 'the gate to Claude is open');
        onOpened();
    }
  }

  #show(): void {
    const gauge = this.options.metrics.gauge(names.metric.claudeGate, {
      help: 'Which state the gate to Claude is in (1), by state.',
      labels: ['state'],
    });
    for (const state of ['open', 'rate_limited', 'unhealthy', 'parked']) {
      gauge.set({ state }, state === this.#gate.kind ? 1 : 0);
    }
  }
}
