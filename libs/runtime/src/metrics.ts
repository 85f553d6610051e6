import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

import { fastBucketsSeconds } from './telemetry-names.ts';

export interface MetricOptions {
  readonly help: string;
  readonly labels?: readonly string[];
}

export interface HistogramOptions extends MetricOptions {
  readonly buckets?: readonly number[];
}

export type { Counter, Gauge, Histogram } from 'prom-client';

/** The Prometheus metrics of one process. Asking twice for a name gives the same metric. */
export class Metrics {
  readonly registry = new Registry();
  private readonly counters = new Map<string, Counter<string>>();
  private readonly gauges = new Map<string, Gauge<string>>();
  private readonly histograms = new Map<string, Histogram<string>>();

  /** Adds what every process tells: CPU, memory, garbage collection, event loop delay. */
  collectProcessMetrics(): void {
    collectDefaultMetrics({ register: this.registry });
  }

  counter(name: string, options: MetricOptions): Counter<string> {
    return remember(this.counters, name, () => new Counter(this.settings(name, options)));
  }

  gauge(name: string, options: MetricOptions): Gauge<string> {
    return remember(this.gauges, name, () => new Gauge(this.settings(name, options)));
  }

  histogram(name: string, options: HistogramOptions): Histogram<string> {
    const buckets = [...(options.buckets ?? fastBucketsSeconds)];
    const create = () => new Histogram({ ...this.settings(name, options), buckets });
    return remember(this.histograms, name, create);
  }

  private settings(name: string, options: MetricOptions) {
    return {
      name,
      help: options.help,
      labelNames: [...(options.labels ?? [])],
      registers: [this.registry],
    };
  }
}

function remember<T>(known: Map<string, T>, name: string, create: () => T): T {
  const found = known.get(name);
  if (found !== undefined) return found;
  const created = create();
  known.set(name, created);
  return created;
}
