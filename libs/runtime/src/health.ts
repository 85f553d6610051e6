export type HealthDetails = object;

/** Answers what it found, or throws what is wrong. */
export type HealthCheck = () => Promise<HealthDetails | void> | HealthDetails | void;

export interface HealthReport {
  readonly status: 'ok' | 'failing';
  readonly [name: string]: unknown;
}

/** A check that hangs is a check that failed; probes come every few seconds. */
const checkMsMax = 2000;

/**
 * What a failing check leads to: the process is to be restarted (and gets no work meanwhile), it
 * gets no work, or nothing: it is only told.
 */
export type HealthDecision = 'liveness' | 'readiness' | 'nothing';

/**
 * What `/healthz` and `/readyz` answer. Readiness says "send me work"; liveness says "restarting
 * me would not help", so that a lost database never restarts every service at once.
 */
export abstract class Health {
  /** Adds a check, which decides about readiness unless it is told otherwise. */
  abstract addCheck(name: string, check: HealthCheck, decides?: HealthDecision): void;
  /** Adds facts to `/healthz` that fail nothing: which model answers, how much is in flight. */
  abstract addInfo(name: string, info: () => HealthDetails | string): void;
  /** The service is stopping: readiness fails from now on. */
  abstract stopping(): void;
  /** For how long it has been; 0 while it is not. */
  abstract get stoppingMs(): number;
  abstract liveness(): Promise<HealthReport>;
  abstract readiness(): Promise<HealthReport>;
}

interface NamedCheck {
  readonly name: string;
  readonly check: HealthCheck;
  readonly decides: HealthDecision;
}

export class HealthChecks extends Health {
  private readonly checks: NamedCheck[] = [];
  private readonly infos = new Map<string, () => HealthDetails | string>();
  private stoppingSinceMs: number | null = null;

  constructor(private readonly service: string) {
    super();
  }

  addCheck(
    name: string,
    check: HealthCheck,
    decides: HealthDecision = 'readiness',
  ): void {
    this.checks.push({ name, check, decides });
  }

  addInfo(name: string, info: () => HealthDetails | string): void {
    this.infos.set(name, info);
  }

  stopping(): void {
    this.stoppingSinceMs ??= performance.now();
  }

  get stoppingMs(): number {
    return this.stoppingSinceMs === null ? 0 : performance.now() - this.stoppingSinceMs;
  }

  async liveness(): Promise<HealthReport> {
    const report = await this.run(this.checks.filter(({ decides }) => decides === 'liveness'));
    const info = Object.fromEntries([...this.infos].map(([name, read]) => [name, read()]));
    return { ...report, ...info };
  }

  async readiness(): Promise<HealthReport> {
    const report = await this.run(this.checks);
    if (this.stoppingSinceMs === null) return report;
    return { ...report, status: 'failing', stopping: true };
  }

  private async run(checks: readonly NamedCheck[]): Promise<HealthReport> {
    const results = await Promise.all(checks.map((check) => runCheck(check)));
    const failing = results.some(
      ([, result], index) =>
        result.status === 'failing' && checks[index]?.decides !== 'nothing',
    );
    return {
      status: failing ? 'failing' : 'ok',
      service: this.service,
      checks: Object.fromEntries(results),
    };
  }
}

async function runCheck({ name, check }: NamedCheck): Promise<[string, HealthReport]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${checkMsMax} ms`)), checkMsMax);
  });
  try {
    const details = await Promise.race([Promise.resolve().then(check), late]);
    return [name, { ...details, status: 'ok' }];
  } catch (error) {
    return [name, { status: 'failing', reason: String(error) }];
  } finally {
    clearTimeout(timer);
  }
}
