/** Starts one stack for all stories: free ports, a folder of its own (jest globalSetup). */
import { mkdtempSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { freePorts, startStack } from '../tools/stack.mjs';

export default async function start() {
  const home = mkdtempSync(join(tmpdir(), 'millrace-stories-'));
  const otlpPort = await freePort();
  const stack = await startStack({
    home,
    ports: await freePorts(),
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
  Object.assign(process.env, {
    MILLRACE_E2E_URL: stack.urls.api,
    MILLRACE_E2E_CLAUDE_URL: stack.urls.claude,
    MILLRACE_E2E_KAFKA: stack.kafkaBroker,
    MILLRACE_E2E_API_KEY: stack.apiKey,
    MILLRACE_E2E_WEBHOOK_SECRET: stack.webhookSecret,
    MILLRACE_E2E_HOME: home,
    MILLRACE_E2E_OTLP_PORT: String(otlpPort),
  });
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
