/** How long each service's event loop was held up, from the service's own metrics. */
const metric = 'nodejs_eventloop_lag_p99_seconds';

/** A scrape begins a new histogram. */
export async function resetEventLoopDelays(stack) {
  await eventLoopDelays(stack);
}

/** @returns {Promise<{ service: string, p99Ms: number }[]>} since the scrape before */
export function eventLoopDelays(stack) {
  const services = Object.keys(stack.urls).filter((name) => stack.replicasOf(name).length > 0);
  return Promise.all(
    services.map(async (service) => {
      const response = await fetch(`${stack.urls[service]}/metrics`);
      const line = new RegExp(`^${metric}(?:{[^}]*})? (.*)$`, 'm').exec(await response.text());
      if (line === null) throw new Error(`${service} does not tell ${metric}`);
      return { service, p99Ms: Number(line[1]) * 1000 };
    }),
  );
}
