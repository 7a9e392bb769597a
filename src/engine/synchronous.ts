import { EngineError } from '../errors.ts';

/** Refuses a body's result that is a promise: what `scope` set would be gone before the body's end. */
export function requireSynchronous(scope: string, result: unknown): void {
  if (!(result instanceof Promise)) return;
  result.catch(() => {}); // the error below says more than whatever the orphaned promise will meet
  throw new EngineError('async-body', `${scope}() was given an asynchronous function`, {
    hint: `Await first, then call ${scope}() around the computation.`,
  });
}
