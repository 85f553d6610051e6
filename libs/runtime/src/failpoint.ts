import { assertNever } from '@millrace/contracts';

/** `crash`: as by `kill -9`. `throw` behind an effect: it was done, and is answered as an error. */
export const failpointActions = ['crash', 'throw', 'hang'] as const;
export type FailpointAction = (typeof failpointActions)[number];

export interface ArmedFailpoint {
  readonly name: string;
  readonly action: FailpointAction;
  /** Which time the place is passed, from 1. */
  readonly visit: number;
}

/** An error that a specification asked for. */
export class FailpointError extends Error {
  override readonly name = 'FailpointError';
}

let armed: ArmedFailpoint | undefined;
let visits = 0;
let onReached: () => void = () => undefined;

/**
 * A place where a specification can make this process fail. In production nothing is armed: it
 * costs one comparison.
 */
export function failpoint(name: string): Promise<void> | undefined {
  if (armed?.name !== name) return undefined;
  visits += 1;
  return visits === armed.visit ? fail(armed) : undefined;
}

/** In place of what was armed before. @returns when it was reached. */
export function armFailpoint(failpoint: ArmedFailpoint | undefined): Promise<void> {
  armed = failpoint;
  visits = 0;
  return new Promise((resolve) => (onReached = resolve));
}

/** What tells that the place was reached, on standard error. */
export function failpointReached({ action, name, visit }: ArmedFailpoint): string {
  return `failpoint ${name}:${action}:${visit} reached`;
}

async function fail(reached: ArmedFailpoint): Promise<void> {
  process.stderr.write(`${failpointReached(reached)}\n`);
  onReached();
  switch (reached.action) {
    case 'crash':
      process.kill(process.pid, 'SIGKILL');
      return forever();
    case 'hang':
      return forever();
    case 'throw':
      throw new FailpointError(reached.name);
    default:
      return assertNever(reached.action);
  }
}

function forever(): Promise<void> {
  return new Promise(() => undefined);
}
