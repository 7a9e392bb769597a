import { EngineError } from '../errors.ts';
import { addon, type Handle, type NativeOperator } from './addon.ts';
import { handleOf, Tensor, wrap } from './tensor.ts';

/** What the generated operators share. */

export function bind(name: string, overload: string): NativeOperator {
  return addon().bind(name, overload);
}

export function wrapAll(handles: readonly Handle[]): Tensor[] {
  return handles.map(wrap);
}

export function optionalHandlesOf(tensors: readonly (Tensor | null)[]): (Handle | undefined)[] {
  if (!Array.isArray(tensors)) throw new EngineError('invalid-argument', 'an array of tensors is expected');
  return tensors.map((tensor) => (tensor === null ? undefined : handleOf(tensor)));
}

export function isScalar(value: unknown): boolean {
  return typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean';
}

/** Whether an argument is the trailing options object, or not there at all. */
export function isOptions(value: unknown): boolean {
  if (value === undefined) return true;
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Tensor);
}
