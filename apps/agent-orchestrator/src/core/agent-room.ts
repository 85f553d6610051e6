import type { LimitName } from '@millrace/contracts';

import { limitReached, waitsUntil } from './agent-budget.ts';
import type { Amount } from './agent-budget.ts';
import { fail, isMoving, order, tell, update } from './agent-step.ts';
import type { AgentStep } from './agent-step.ts';

/**
 * Whether the budget has room for what is to be done next. A run without room fails or waits for
 * a raise, as it was asked to; while calls are under way it waits for what they give back.
 */
export function hasRoom(step: AgentStep, need: Amount): boolean {
  const { ledger, reached } = step.run;
  const limit = reached === 'seconds' ? reached : limitReached(ledger, need);
  if (limit === undefined) {
    if (reached !== null) update(step, { reached: null });
    return true;
  }
  if (!isMoving(step.run)) reachLimit(step, limit);
  return false;
}

export function reachLimit(step: AgentStep, limit: LimitName): void {
  const endsAt = waitsUntil(step.run.origin.startedAt);
  if (step.run.ledger.onReached === 'fail' || step.now >= endsAt) {
    const detail = `the limit «${limit}» of the budget leaves no room for the next step`;
    fail(step, 'budget_exceeded', { detail });
    return;
  }
  if (step.run.reached === limit) return;
  update(step, { reached: limit });
  if (limit === 'seconds') {
    // Nothing waits for ever.
    order(step, { kind: 'set_timer', name: 'deadline', at: endsAt });
  }
  tell(step, { kind: 'awaiting_budget', limit });
}
