import type { Lane, TenantId } from '@millrace/contracts';
import { Injectable } from '@nestjs/common';

import { AdmissionCounter } from './admission-counter.ts';
import {
  decideAdmission,
  type AdmissionDecision,
  type AdmissionLimits,
} from './core/admission.ts';
import { OwnLoad } from './own-load.ts';
import { PlatformLoad } from './platform-load.ts';

/** Under this token its settings come. */
export abstract class AdmissionSettings implements AdmissionLimits {
  abstract readonly tenantWaitingMax: number;
  abstract readonly ageMsMax: number;
}

export interface Arriving {
  readonly tenant: TenantId;
  readonly lane: Lane;
  readonly via: 'http' | 'kafka';
}

/** The door: whether one more job is taken on now. */
@Injectable()
export class Admission {
  constructor(
    private readonly own: OwnLoad,
    private readonly platform: PlatformLoad,
    private readonly limits: AdmissionSettings,
    private readonly counter: AdmissionCounter,
  ) {}

  decide(job: Arriving): AdmissionDecision {
    const load = { process: this.own.now, backlog: this.platform.backlog() };
    const decision = decideAdmission(job, load, { limits: this.limits, random: Math.random() });
    if (decision.kind === 'refuse') this.counter.refused({ reason: decision.reason, via: job.via });
    return decision;
  }
}
