import ConsumerGroup from 'kafkajs/src/consumer/consumerGroup.js';

/**
 * Lets a member go on when its machine's clock is set back, from now on in this process. kafkajs
 * 2.2.4 sends a heartbeat so long after the last one by that clock: set back by an hour, it would
 * send none for an hour, and be put out of its group every few seconds.
 */
export function sendHeartbeatsAfterTheClockWasSetBack(): void {
  const { heartbeat } = ConsumerGroup.prototype;
  ConsumerGroup.prototype.heartbeat = function (options) {
    this.lastRequest = Math.min(this.lastRequest, Date.now());
    return heartbeat.call(this, options);
  };
}
