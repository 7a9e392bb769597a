import { ops, type Tensor, tidy } from '../engine/index.ts';
import { ModelError } from '../errors.ts';

/** `requireFinite` of every weight. */
export function requireAllFinite(tensors: ReadonlyMap<string, Tensor>): void {
  for (const [name, tensor] of tensors) requireFinite(name, tensor);
}

/**
 * Throws `weights-not-finite` for a weight that holds infinities or NaN, or numbers that the type in which it is to be
 * stored would make infinite.
 *
 * @param overflow the least magnitude that becomes infinite in that type
 */
export function requireFinite(name: string, tensor: Tensor, overflow = Number.POSITIVE_INFINITY): void {
  const largest = largestMagnitude(tensor);
  if (largest < overflow) return;
  if (Number.isFinite(largest)) {
    throw new ModelError(
      'weights-not-finite',
      `${name} holds numbers up to ${largest.toPrecision(4)}, which the chosen type has as infinite.`,
      { hint: 'Choose a type with a wider range: bf16 or f32.' },
    );
  }
  throw new ModelError(
    'weights-not-finite',
    `${name} holds infinities or NaN as ${tensor.dtype}; no model computes with those.`,
    {
      hint:
        tensor.dtype === 'float16'
          ? 'float16 ends at 65504: choose bf16 or f32. If they are there too, the checkpoint is damaged.'
          : 'The checkpoint is damaged, or its training diverged: take an earlier one.',
    },
  );
}

/** The largest absolute value; NaN if any is. */
function largestMagnitude(tensor: Tensor): number {
  if (tensor.size === 0) return 0;
  return tidy(() => Math.max(Math.abs(ops.max(tensor).item()), Math.abs(ops.min(tensor).item())));
}
