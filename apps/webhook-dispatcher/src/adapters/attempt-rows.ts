/** An attempt as its row says. */
export interface AttemptRow {
  /** Null when nothing was sent yet; the others are not, then. */
  readonly number: number | null;
  readonly outcome: string;
  readonly class: string | null;
  readonly status: number | null;
  readonly dns_ms: number | null;
  readonly connect_ms: number | null;
  readonly tls_ms: number | null;
  readonly first_byte_ms: number | null;
  readonly total_ms: number;
  readonly started_at: Date;
}

/** As the schema of the contract wants it: parsing says whether it is. */
export function attemptOf(row: AttemptRow): object {
  return {
    number: row.number,
    outcome: row.outcome,
    class: row.class ?? undefined,
    http_status: row.status ?? undefined,
    started_at: row.started_at.toISOString(),
    ended_at: new Date(row.started_at.getTime() + row.total_ms).toISOString(),
    timings_ms: {
      dns: row.dns_ms ?? undefined,
      connect: row.connect_ms ?? undefined,
      tls: row.tls_ms ?? undefined,
      first_byte: row.first_byte_ms ?? undefined,
      total: row.total_ms,
    },
  };
}
