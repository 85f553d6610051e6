/**
 * Holds for every job, and has the planner look along the index of a tenant's jobs by acceptance:
 * it is in that index alone (migration 0119), so that no look for a job by its key takes it.
 */
export const byTime = `type <> ''`;
