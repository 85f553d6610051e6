import { laneCapDefault, type LaneSight } from '../core/lane.ts';

/**
 * What a process is told of a lane with each delivery that it is handed.
 * @param lane alias of the row of `dispatcher.lanes`, which may be missing.
 * @param endpoint alias of the row of `dispatcher.endpoints`, which may be missing.
 */
export function laneSightColumns(lane: string, endpoint: string): string {
  const full = `coalesce(${endpoint}.in_flight_max, ${laneCapDefault})`;
  return `${full} AS full_cap, least(${full}, ${lane}.in_flight_max) AS cap,
      ${endpoint}.rate_per_second, coalesce(${lane}.opened, 0) AS opened,
      ${lane}.failing_since IS NOT NULL AS is_failing,
      coalesce(${lane}.timeouts_in_a_row, 0) AS timeouts_in_a_row,
      coalesce(${lane}.blocked_in_a_row, 0) AS blocked_in_a_row, ${lane}.last_success_at`;
}

export interface LaneSightRow {
  readonly full_cap: number;
  readonly cap: number;
  readonly rate_per_second: number | null;
  readonly opened: number;
  readonly is_probe: boolean;
  readonly is_failing: boolean;
  readonly timeouts_in_a_row: number;
  readonly blocked_in_a_row: number;
  readonly last_success_at: Date | null;
}

export function laneSightOfRow(row: LaneSightRow, askedAtMs: number): LaneSight {
  return {
    askedAtMs,
    fullCap: row.full_cap,
    cap: row.cap,
    ratePerSecond: row.rate_per_second,
    opened: row.opened,
    isProbe: row.is_probe,
    isFailing: row.is_failing,
    timeoutsInARow: row.timeouts_in_a_row,
    blockedInARow: row.blocked_in_a_row,
    lastSuccessAtMs: row.last_success_at?.getTime() ?? null,
  };
}
