import { EngineError } from '../errors.ts';
import { addon, type Handle } from './addon.ts';
import type { Device, DType, HostArray } from './contract.ts';
import { dtypeOfCode } from './dtypes.ts';

/** A number, or a bigint for 64-bit integers: whole numbers reach the engine as integers, the rest as floats. */
export type Scalar = number | bigint | boolean;

let openScope: Tensor[] | undefined;
let releaseBuffer = new Uint32Array(256);

/** Makes a Tensor of a native result and registers it with the innermost scope. */
export let wrap: (handle: Handle) => Tensor;
/** The handle of a living tensor; throws for anything else. */
export let handleOf: (tensor: Tensor) => Handle;
/** Disposes many tensors in one native call. */
export let disposeAll: (tensors: Iterable<Tensor> & { readonly length: number }) => void;

/**
 * An n-dimensional array that libtorch owns. It lives until `dispose()`, or until the `tidy` scope in which it was
 * made ends. Operators are free functions (`ops.add(x, y)`).
 */
export class Tensor {
  /** 0 once disposed. Private, so that no number can pass for a tensor. */
  #handle: Handle;
  #shape: readonly number[] | undefined;
  #dtype: DType | undefined;
  #device: Device | undefined;

  private constructor(handle: Handle) {
    this.#handle = handle;
  }

  static {
    wrap = (handle) => {
      const tensor = new Tensor(handle);
      openScope?.push(tensor);
      return tensor;
    };
    handleOf = (tensor) => {
      if (!(tensor instanceof Tensor)) throw notATensor(tensor);
      if (tensor.#handle === 0) throw disposed(tensor.#describe());
      return tensor.#handle;
    };
    disposeAll = (tensors) => {
      if (releaseBuffer.length < tensors.length) releaseBuffer = new Uint32Array(2 * tensors.length);
      let count = 0;
      for (const tensor of tensors) {
        if (tensor.#handle === 0) continue;
        releaseBuffer[count++] = tensor.#handle;
        tensor.#handle = 0;
      }
      if (count > 0) addon().release(releaseBuffer, count);
    };
  }

  /** Extents, outermost first; `[]` for a scalar. */
  get shape(): readonly number[] {
    this.#shape ??= Object.freeze(addon().shape(handleOf(this)));
    return this.#shape;
  }

  get dtype(): DType {
    this.#dtype ??= dtypeOfCode(addon().dtype(handleOf(this)));
    return this.#dtype;
  }

  get device(): Device {
    this.#device ??= addon().device(handleOf(this));
    return this.#device;
  }

  /** Number of elements. */
  get size(): number {
    return this.shape.reduce((product, extent) => product * extent, 1);
  }

  get requiresGrad(): boolean {
    return addon().requiresGrad(handleOf(this));
  }

  /** Makes this leaf collect gradients, or stops it. */
  setRequiresGrad(flag: boolean): this {
    addon().setRequiresGrad(handleOf(this), flag);
    return this;
  }

  /** The value of a one-element tensor. */
  item(): number {
    return addon().item(handleOf(this));
  }

  /** A copy on the host, row-major. Half-precision floats arrive as float32, booleans as 0 and 1. */
  toArray(): HostArray {
    return addon().toHost(handleOf(this), false);
  }

  /** A copy on the host as float64, whatever the dtype; row-major. */
  toFloat64(): Float64Array {
    return addon().toHost(handleOf(this), true) as Float64Array;
  }

  get isDisposed(): boolean {
    return this.#handle === 0;
  }

  /** Gives the memory back. Graphs and views that use it keep what they need; disposing twice is harmless. */
  dispose(): void {
    disposeAll([this]);
  }

  toString(): string {
    if (this.isDisposed) return `Tensor(disposed${this.#describe()})`;
    return `Tensor ${this.dtype}[${this.shape.join(', ')}]${this.device === 'cpu' ? '' : ` on ${this.device}`}`;
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }

  /** What is known of a disposed tensor, for its error. */
  #describe(): string {
    return this.#shape === undefined ? '' : ` of shape [${this.#shape.join(', ')}]`;
  }
}

/** Makes `scope` the list to which new tensors are added; returns the one before. */
export function replaceScope(scope: Tensor[] | undefined): Tensor[] | undefined {
  const before = openScope;
  openScope = scope;
  return before;
}

export function handlesOf(tensors: readonly Tensor[]): Handle[] {
  if (!Array.isArray(tensors)) throw new EngineError('invalid-argument', 'an array of tensors is expected');
  return tensors.map(handleOf);
}

function notATensor(value: unknown): EngineError {
  const received = value === null ? 'null' : typeof value;
  return new EngineError('invalid-argument', `a Tensor is expected, not ${received} (${String(value)})`);
}

function disposed(description: string): EngineError {
  return new EngineError('tensor-disposed', `the tensor${description} was disposed before this use`, {
    hint: 'Return the tensor from its tidy() scope, or keep() it, if it has to live longer.',
  });
}
