import fc from 'fast-check';

/** Two tenants whose jobs, keys and sessions have the same names. */
export const tenantNames = ['default', 'other'] as const;
export type TenantName = (typeof tenantNames)[number];

/** One body with the names that it goes by. */
export interface PlannedSubmission {
  readonly tenant: TenantName;
  readonly via: 'http' | 'kafka';
  /** Its `job_id`; without one a request's is random and a record's made of its place. */
  readonly name: string | null;
  /** By HTTP. */
  readonly key: string | null;
  /** Which of two prompts. */
  readonly body: number;
  readonly session: 'a' | 'b' | null;
  readonly runInMs: number | null;
  /** From its `run_at`, or from the beginning. */
  readonly completeInMs: number | null;
  /** By Kafka: its content is of no use, and its `job_id` can be read. */
  readonly isBroken: boolean;
}

export type BreakKind = 'answer' | 'statement' | 'commit';

export type Step =
  | { readonly kind: 'submit'; readonly pick: number; readonly to: number; readonly times: number }
  | {
      readonly kind: 'records';
      readonly of: TenantName;
      readonly to: number;
      readonly count: number;
    }
  | { readonly kind: 'cancel'; readonly pick: number; readonly to: number }
  | { readonly kind: 'run'; readonly pick: number; readonly how: 'succeeded' | 'failed' }
  | { readonly kind: 'progress'; readonly pick: number }
  | { readonly kind: 'contradict'; readonly pick: number; readonly to: number }
  | { readonly kind: 'events'; readonly pick: number; readonly to: number; readonly count: number }
  /** At once, or when Postgres has done some statement of it. */
  | { readonly kind: 'die'; readonly who: number; readonly after: number | null }
  | { readonly kind: 'break'; readonly who: number; readonly lost: BreakKind; readonly of: number }
  | { readonly kind: 'wait'; readonly ms: number }
  /** Until what was begun has its answers: what comes then meets jobs, however slow that was. */
  | { readonly kind: 'settle' };

export interface Plan {
  readonly submissions: readonly PlannedSubmission[];
  /** How many records later each record comes again. */
  readonly again: readonly number[];
  readonly steps: readonly Step[];
}

const picks = fc.nat(30);
const members = fc.nat(1);

const submissions: fc.Arbitrary<PlannedSubmission> = fc.record({
  tenant: fc.constantFrom(...tenantNames),
  via: fc.constantFrom('http' as const, 'http' as const, 'kafka' as const),
  name: fc.constantFrom('j0', 'j1', 'j2', 'j3', 'j4', null),
  key: fc.constantFrom('k0', 'k1', 'k2', null, null),
  body: fc.constantFrom(0, 0, 0, 1),
  session: fc.constantFrom('a' as const, 'b' as const, null),
  runInMs: fc.constantFrom(null, null, 30, 120, 300),
  completeInMs: fc.constantFrom(null, null, null, 1, 20_000),
  isBroken: fc.constantFrom(false, false, false, true),
});

const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('submit' as const),
      pick: picks,
      to: members,
      times: fc.constantFrom(1, 1, 2, 3),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('records' as const),
      of: fc.constantFrom(...tenantNames),
      to: members,
      count: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('cancel' as const), pick: picks, to: members }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('run' as const),
      pick: picks,
      how: fc.constantFrom('succeeded' as const, 'failed' as const),
    }),
  },
  fc.record({ kind: fc.constant('progress' as const), pick: picks }),
  fc.record({ kind: fc.constant('contradict' as const), pick: picks, to: members }),
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('events' as const),
      pick: picks,
      to: members,
      count: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('die' as const),
      who: members,
      after: fc.option(picks, { freq: 3 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('break' as const),
      who: members,
      lost: fc.constantFrom('answer' as const, 'statement' as const, 'commit' as const),
      of: picks,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      ms: fc.constantFrom(1, 2, 4, 8, 30),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('settle' as const) }) },
);

export const plans: fc.Arbitrary<Plan> = fc.record({
  submissions: fc.array(submissions, { minLength: 6, maxLength: 16 }),
  again: fc.array(fc.nat(8), { minLength: 8, maxLength: 8 }),
  steps: fc.array(steps, { minLength: 20, maxLength: 45 }),
});
