/** Starts one stack for all stories: free ports, a folder of its own (jest globalSetup). */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { chromiumPath, hasChromium } from '../tools/check/chromium.mjs';
import { hasPythonReceivers, pythonPath } from '../tools/check/python-receivers.mjs';
import { freePorts, startStack } from '../tools/stack.mjs';
import { serviceNames } from '../tools/stack/environment.mjs';
import { makeOldDays } from '../tools/stack/old-days.mjs';
import { freePort } from '../tools/stack/ports.mjs';

export default async function start() {
  const home = mkdtempSync(join(tmpdir(), 'millrace-stories-'));
  const otlpPort = await freePort();
  const stack = await startStack({
    home,
    ports: await freePorts(),
    replicas: 2,
    env: {
      ...process.env,
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${otlpPort}`,
      OTEL_BSP_SCHEDULE_DELAY: '200',
    },
    serviceEnv: {
      'claude-worker': { RETRY_BASE_MS: '100', LEASE_MS: '3000' },
      'webhook-dispatcher': { RETRY_SCHEDULE_MS: '0,200,500,1000,2000,4000', LEASE_MS: '3000' },
    },
  });
  globalThis.millraceStories = { stack, home };
  await makeOldDays(stack);
  Object.assign(process.env, {
    MILLRACE_E2E_URL: stack.urls.api,
    MILLRACE_E2E_URLS: urlsOf(stack, ['ingest']),
    MILLRACE_E2E_SERVICE_URLS: urlsOf(stack, serviceNames),
    MILLRACE_E2E_CLAUDE_URL: stack.urls.claude,
    MILLRACE_E2E_KAFKA: stack.kafkaBroker,
    MILLRACE_E2E_API_KEY: stack.apiKey,
    MILLRACE_E2E_ADMIN_KEY: stack.adminKey,
    MILLRACE_E2E_WEBHOOK_SECRET: stack.webhookSecret,
    ...(hasPythonReceivers() ? { MILLRACE_E2E_PYTHONPATH: pythonPath } : {}),
    ...(hasChromium() ? { MILLRACE_E2E_CHROMIUM: chromiumPath } : {}),
    MILLRACE_E2E_HOME: home,
    MILLRACE_E2E_OTLP_PORT: String(otlpPort),
  });
}

const urlsOf = (stack, services) =>
  services
    .flatMap((service) => stack.replicasOf(service))
    .map((name) => stack.urls[name])
    .join(',');
