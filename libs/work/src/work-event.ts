/** What the engine tells its metrics. */
export type WorkEvent =
  | { readonly type: 'claimed'; readonly rows: number; readonly limit: number; readonly ms: number }
  | { readonly type: 'started'; readonly rows: number; readonly via: 'claim' | 'insert' }
  | { readonly type: 'settled'; readonly ms: number; readonly attempts: number }
  | { readonly type: 'dropped' }
  | { readonly type: 'lease-lost'; readonly running: number }
  | { readonly type: 'reaped'; readonly processes: number; readonly rows: number };

/** The part of a logger that the engine writes to. */
export interface WorkLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
