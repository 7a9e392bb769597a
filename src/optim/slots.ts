import { hasOwnKernels, keep, noGrad, ops, type Tensor, zeros } from '../engine/index.ts';
import { ModelError } from '../errors.ts';
import type { OptimizedParameter } from './contract.ts';

/** One state tensor a parameter, shaped like it, zero at first: a moment, a squared average, a momentum buffer. */
export function zeroSlot(parameters: readonly OptimizedParameter[]): Tensor[] {
  return parameters.map(({ master }) =>
    keep(zeros(master.shape, { dtype: master.dtype, device: master.device })),
  );
}

/** State tensors under their checkpoint names, `<parameter>/<slot>`. */
export function nameSlots(
  parameters: readonly OptimizedParameter[],
  slots: Readonly<Record<string, readonly Tensor[]>>,
): Map<string, Tensor> {
  const named = new Map<string, Tensor>();
  for (const [slot, tensors] of Object.entries(slots)) {
    for (const [index, tensor] of tensors.entries()) named.set(`${parameters[index]!.name}/${slot}`, tensor);
  }
  return named;
}

/**
 * Copies saved values into live tensors, after checking that both sides hold the same names and shapes.
 * `what` names the collection in the error (`ModelError`, code `checkpoint-mismatch`).
 */
export function restoreTensors(
  live: ReadonlyMap<string, Tensor>,
  saved: ReadonlyMap<string, Tensor>,
  what: string,
): void {
  const mismatch = (problem: string) =>
    new ModelError('checkpoint-mismatch', `The saved ${what} does not fit: ${problem}.`, {
      hint: 'Resume with the model and the optimiser that the checkpoint was written with.',
    });
  const unknown = [...saved.keys()].find((name) => !live.has(name));
  if (unknown !== undefined) throw mismatch(`it holds "${unknown}", which this run does not have`);
  for (const [name, tensor] of live) {
    const source = saved.get(name);
    if (source === undefined) throw mismatch(`it lacks "${name}"`);
    if (source.shape.join() !== tensor.shape.join()) {
      throw mismatch(`"${name}" has shape [${source.shape}], expected [${tensor.shape}]`);
    }
  }
  noGrad(() => {
    for (const [name, tensor] of live) ops.copy_(tensor, saved.get(name)!);
  });
}

/**
 * Splits the indices of present gradients by whether weight decay applies, and further into buckets of at most
 * `BUCKET_ELEMENTS`, so that temporaries of a whole-list operation never reach the size of the model.
 */
export function buckets(
  parameters: readonly OptimizedParameter[],
  gradients: readonly (Tensor | null)[],
): { decay: boolean; indices: number[] }[] {
  const result: { decay: boolean; indices: number[]; elements: number }[] = [];
  for (const decay of [true, false]) {
    let current: (typeof result)[number] | undefined;
    for (const [index, parameter] of parameters.entries()) {
      if (parameter.decay !== decay || gradients[index] == null) continue;
      const { size } = parameter.master;
      if (current === undefined || current.elements + size > BUCKET_ELEMENTS) {
        current = { decay, indices: [], elements: 0 };
        result.push(current);
      }
      current.indices.push(index);
      current.elements += size;
    }
  }
  return result;
}

const BUCKET_ELEMENTS = 1 << 25;

/** Each parameter's gradient under `own` where the project's kernel updates it, otherwise under `library`. */
export function byKernel(
  parameters: readonly OptimizedParameter[],
  gradients: readonly (Tensor | null)[],
): Record<'own' | 'library', (Tensor | null)[]> {
  const own = parameters.map(
    ({ master, copy }) => hasOwnKernels(master) && (copy === undefined || copy.dtype === 'bfloat16'),
  );
  return {
    own: gradients.map((gradient, index) => (own[index] ? gradient : null)),
    library: gradients.map((gradient, index) => (own[index] ? null : gradient)),
  };
}

/**
 * The gradients at some indices for operators that want the masters' dtype, times `scale`. May overwrite those it was
 * given; call inside a `tidy` scope.
 */
export function prepared(
  parameters: readonly OptimizedParameter[],
  gradients: readonly (Tensor | null)[],
  indices: readonly number[],
  scale: number,
): Tensor[] {
  const wide = indices.map((index) => {
    const gradient = gradients[index]!;
    const { dtype } = parameters[index]!.master;
    return gradient.dtype === dtype ? gradient : ops.to(gradient, dtype);
  });
  if (scale !== 1) ops._foreachMul_(wide, scale);
  return wide;
}

/** Brings the compute copies up to date with their masters. */
export function refreshCopies(parameters: readonly OptimizedParameter[]): void {
  noGrad(() => {
    for (const { master, copy } of parameters) if (copy !== undefined) ops.copy_(copy, master);
  });
}

/** The items at some indices. */
export function pick<T>(items: readonly (T | null)[], indices: readonly number[]): T[] {
  return indices.map((index) => items[index]!);
}
