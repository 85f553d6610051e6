import type { Health } from '@millrace/runtime';

import type { IngestConfig } from './config.ts';

/** Says on `/healthz` whether answers come from Claude or from its stand-in. */
export class ClaudeInfo {
  constructor(config: IngestConfig, health: Health) {
    const claude = config.MILLRACE_CLAUDE_STAND_IN ? 'stand-in' : 'anthropic';
    health.addInfo('claude', () => claude);
  }
}
