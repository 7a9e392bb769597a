/**
 * The engine's contract. Everything above this folder sees tensors only through these types and the functions that
 * `engine/index.ts` exports; nothing above it imports the addon.
 *
 * Ownership, once and for all:
 * - A tensor lives until it is disposed or until the innermost `tidy` scope that was open at its creation ends.
 *   What a `tidy` callback returns (a tensor, or arrays/objects/maps of tensors) survives into the enclosing scope.
 *   Outside any scope, a tensor lives until `dispose()`.
 * - Autograd graphs hold references of their own: closing a scope never breaks a later backward pass.
 * - Using a disposed tensor throws `EngineError` with code `tensor-disposed`; it never crashes.
 */

export type DType = 'float64' | 'float32' | 'bfloat16' | 'float16' | 'int64' | 'int32' | 'bool';

export type Device = 'cpu' | 'cuda' | `cuda:${number}` | 'mps';

/**
 * What multiplies matrices on the CPU: the project's own kernels on the processor's matrix tiles (AMX) or with its vector
 * instructions (AVX-512), or libtorch with oneDNN and MKL.
 */
export type Multiplier = 'tiles' | 'vectors' | 'libtorch';

/** Host-side numbers of a tensor. bfloat16/float16 arrive as Float32Array; int64 as BigInt64Array; bool as Uint8Array. */
export type HostArray = Float64Array | Float32Array | BigInt64Array | Int32Array | Uint8Array;

export interface TensorOptions {
  readonly dtype?: DType;
  readonly device?: Device;
}

/** What `memory()` reports. */
export interface EngineMemory {
  /** Native tensors that JavaScript still holds. Flat over training steps, or there is a leak. */
  readonly liveTensors: number;
  /** Resident set of the process in bytes, now and at its peak. */
  readonly residentBytes: number;
  readonly peakResidentBytes: number;
}

/** How float32 matrix products may be computed: `highest` is IEEE fp32; `medium` lets the engine use bf16 inside. */
export type MatmulPrecision = 'highest' | 'high' | 'medium';
