import { requireSynchronous } from './synchronous.ts';
import { disposeAll, replaceScope, Tensor } from './tensor.ts';

/** Tensors that `keep` took out of every scope. */
const kept = new WeakSet<Tensor>();

/**
 * Runs `body` and disposes every tensor that was made meanwhile, except those in its result: a tensor, or arrays,
 * maps, sets and objects that hold tensors, at any depth. Those move to the enclosing scope. When `body` throws,
 * every tensor it made is disposed. `body` is synchronous: a promise would outlive its tensors.
 */
export function tidy<Result>(body: () => Result): Result {
  const scope: Tensor[] = [];
  const outer = replaceScope(scope);
  let result: Result;
  try {
    result = body();
    requireSynchronous('tidy', result);
  } catch (error) {
    replaceScope(outer);
    disposeAll(scope.filter((tensor) => !kept.has(tensor)));
    throw error;
  }
  replaceScope(outer);
  const survivors = new Set<Tensor>();
  collect(result, survivors, new Set());
  const dying: Tensor[] = [];
  for (const tensor of scope) {
    if (survivors.has(tensor)) outer?.push(tensor);
    else if (!kept.has(tensor)) dying.push(tensor);
  }
  disposeAll(dying);
  return result;
}

/** Takes a tensor out of every scope: it lives until `dispose()`. */
export function keep(tensor: Tensor): Tensor {
  kept.add(tensor);
  return tensor;
}

function collect(value: unknown, found: Set<Tensor>, seen: Set<object>): void {
  if (typeof value !== 'object' || value === null) return;
  if (value instanceof Tensor) {
    found.add(value);
    return;
  }
  if (ArrayBuffer.isView(value) || seen.has(value)) return;
  seen.add(value);
  if (value instanceof Map) {
    for (const [key, entry] of value) {
      collect(key, found, seen);
      collect(entry, found, seen);
    }
  } else if (Array.isArray(value) || value instanceof Set) {
    for (const entry of value) collect(entry, found, seen);
  } else {
    for (const entry of Object.values(value)) collect(entry, found, seen);
  }
}
