import { z } from 'zod';

import { agentIterationsMax, agentSecondsMax, agentToolCallsMax } from './limits.ts';

/**
 * What a job may spend at most, its sub-agents included. What is not given has a default, so that
 * nothing runs without a bound.
 */
export const budgetSchema = z
  .strictObject({
    usd: z.number().positive().max(100_000).optional(),
    /** Input, cache writes and output, together. */
    tokens: z.int().positive().optional(),
    /** Model calls. */
    iterations: z.int().positive().max(agentIterationsMax).optional(),
    tool_calls: z.int().positive().max(agentToolCallsMax).optional(),
    /** From its release, by the clock on the wall. */
    seconds: z.int().positive().max(agentSecondsMax).optional(),
    /** `fail` ends the job with `budget_exceeded`; `park` waits until someone raises it. */
    on_reached: z.enum(['fail', 'park']).optional(),
  })
  .meta({ id: 'Budget' });
export type Budget = z.infer<typeof budgetSchema>;

/** `POST /v1/jobs/{id}/budget`: limits that are to hold from now on; none may become lower. */
export const budgetRaiseSchema = budgetSchema
  .omit({ on_reached: true })
  .refine((budget) => Object.keys(budget).length > 0, { message: 'name a limit' })
  .meta({ id: 'BudgetRaise' });
export type BudgetRaise = z.infer<typeof budgetRaiseSchema>;

/** What a workflow may spend by now: its budget with its defaults, and what raises made of it. */
export const budgetLimitsSchema = z
  .object({
    /** Absent: money has no limit. */
    usd: z.number().nonnegative().optional(),
    tokens: z.int().nonnegative(),
    iterations: z.int().nonnegative(),
    tool_calls: z.int().nonnegative(),
    seconds: z.int().nonnegative(),
  })
  .meta({ id: 'BudgetLimits' });
export type BudgetLimits = z.infer<typeof budgetLimitsSchema>;

export const limitNameSchema = budgetLimitsSchema.keyof();
/** A limit by the name that users know it by. */
export type LimitName = z.infer<typeof limitNameSchema>;

/** What a workflow has spent, in the units of its budget. */
export const spendingSchema = z
  .object({
    usd: z.number().nonnegative(),
    tokens: z.int().nonnegative(),
    iterations: z.int().nonnegative(),
    tool_calls: z.int().nonnegative(),
  })
  .meta({ id: 'Spending' });
export type Spending = z.infer<typeof spendingSchema>;
