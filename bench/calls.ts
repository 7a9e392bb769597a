import { createRequire } from 'node:module';
import { engineInfo } from 'mallowspo';

type Native = Record<string, unknown> & { bind(...names: unknown[]): unknown };
type Callable = (...args: unknown[]) => unknown;

/**
 * Counts every call into the engine from here on, operators and the rest alike, and returns the count so far. Has to
 * come before the first operator: operators are bound when they are first used.
 */
export function countCalls(): () => number {
  engineInfo(); // the library loads the addon its own way; here the same module object is asked for again
  const native = createRequire(import.meta.url)('../mallows.node') as Native;
  let calls = 0;
  const counted =
    (body: Callable): Callable =>
    (...args) => {
      calls++;
      return body(...args);
    };
  for (const [name, value] of Object.entries(native)) {
    if (typeof value === 'function' && name !== 'bind') native[name] = counted(value as Callable);
  }
  const bind = native.bind.bind(native);
  native.bind = (...names) => counted(bind(...names) as Callable);
  return () => calls;
}
