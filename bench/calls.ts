import { createRequire } from 'node:module';
import { engineInfo, ops, zeros } from 'mallowspo';

type Native = Record<string, unknown> & { bind(...names: unknown[]): unknown };
type Callable = (...args: unknown[]) => unknown;

/** Calls into the engine so far, and the time until they returned, seconds. */
export interface EngineCalls {
  readonly calls: number;
  readonly seconds: number;
}

/**
 * Counts and times every call into the engine from here on, operators and the rest alike. Has to come before the first
 * operator: operators are bound when they are first used.
 */
export function countCalls(): () => EngineCalls {
  engineInfo(); // the library loads the addon its own way; here the same module object is asked for again
  const native = createRequire(import.meta.url)('../mallows.node') as Native;
  let calls = 0;
  let milliseconds = 0;
  const counted =
    (body: Callable): Callable =>
    (...args) => {
      const start = performance.now();
      try {
        return body(...args);
      } finally {
        calls++;
        milliseconds += performance.now() - start;
      }
    };
  for (const [name, value] of Object.entries(native)) {
    if (typeof value === 'function' && name !== 'bind') native[name] = counted(value as Callable);
  }
  const bind = native.bind.bind(native);
  native.bind = (...names) => counted(bind(...names) as Callable);
  return () => ({ calls, seconds: milliseconds / 1000 });
}

/**
 * Seconds that an operator takes which computes nothing: conversion of its arguments and result, libtorch's dispatch, and
 * the object made and freed. More than the conversion alone, which is a part of it.
 */
export function emptyCallSeconds(repeats = 20_000): number {
  const x = zeros([4, 4]);
  const once = () => {
    const start = performance.now();
    for (let i = 0; i < repeats; i++) ops.view(x, [2, 8]).dispose();
    return (performance.now() - start) / 1000 / repeats;
  };
  once();
  return once();
}
