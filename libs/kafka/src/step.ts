import type { Topic } from '@millrace/contracts';
import { Catch, UseFilters } from '@nestjs/common';
import type { RpcExceptionFilter } from '@nestjs/common';
import { EventPattern } from '@nestjs/microservices';
import type { Observable } from 'rxjs';
import { throwError } from 'rxjs';

/** Key of a step's settings among the extras of a Nest event handler. */
export const stepExtra = 'millrace.step';

export interface StepExtra {
  readonly topic: Topic;
  readonly form: 'event' | 'raw';
}

/**
 * Lets what a step throws reach the strategy unchanged. Nest's own filter would log it and put
 * "Internal server error" in its place, and the strategy decides by the error.
 */
@Catch()
class PassErrorOn implements RpcExceptionFilter {
  catch(error: unknown): Observable<never> {
    return throwError(() => error);
  }
}

/**
 * Marks a controller's method as the step over a topic: it gets decoded records of one partition,
 * commits, and returns what is to be published. A throw means "again, later", never "skip".
 */
export function Step(topic: Topic): MethodDecorator {
  return stepDecorator({ topic, form: 'event' });
}

/** As `Step`, for an intake that gets the records' bytes and decodes them by itself. */
export function RawStep(topic: Topic): MethodDecorator {
  return stepDecorator({ topic, form: 'raw' });
}

function stepDecorator(extra: StepExtra): MethodDecorator {
  const pattern: MethodDecorator = EventPattern<string>(extra.topic.name, { [stepExtra]: extra });
  const filters = UseFilters(PassErrorOn);
  return (target, key, descriptor) => {
    pattern(target, key, descriptor);
    filters(target, key, descriptor);
  };
}
