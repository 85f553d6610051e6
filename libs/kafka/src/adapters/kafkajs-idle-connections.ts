import RequestQueue from 'kafkajs/src/network/requestQueue/index.js';

/** kafkajs' own interval for requests that wait although nothing throttles them. */
const pendingCheckMs = 10;

/**
 * Lets a connection without waiting requests sleep. kafkajs 2.2.4 looks after each answer, and then
 * every millisecond for as long as the connection lives, whether requests wait (tulios/kafkajs
 * #1556, #1704, #1751): three idle connections took 2 % of a core, and more where work is done
 * between two looks. Whatever begins to wait asks for its look itself, so none is needed before.
 */
export function letIdleConnectionsSleep(): void {
  RequestQueue.prototype.scheduleCheckPendingRequests = scheduleCheckOfWaiting;
}

function scheduleCheckOfWaiting(this: RequestQueue): void {
  if (this.pending.length === 0 || this.throttleCheckTimeoutId !== null) return;
  const throttledMs = this.throttledUntil - Date.now();
  const look = () => {
    this.throttleCheckTimeoutId = null;
    this.checkPendingRequests();
  };
  this.throttleCheckTimeoutId = setTimeout(look, throttledMs > 0 ? throttledMs : pendingCheckMs);
}
