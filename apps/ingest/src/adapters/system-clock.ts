import { Clock } from '../ports.ts';

export class SystemClock extends Clock {
  now(): Date {
    return new Date();
  }
}
