import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { EngineError } from '../errors.ts';
import type { Device, HostArray, MatmulPrecision, Multiplier } from './contract.ts';

/** A native value by number; 0 is never one. Only this folder sees handles. */
export type Handle = number;

/** An operator bound to its schema: positional arguments in the schema's order, tensors as handles. */
export type NativeOperator = (...args: unknown[]) => unknown;

/** The addon's functions, as native/src defines them. */
export interface Addon {
  setErrorFactory(factory: (code: string, message: string) => Error): void;
  bind(name: string, overload: string): NativeOperator;
  fromHost(array: HostArray, shape: readonly number[], dtype: number, device: Device): Handle;
  toHost(tensor: Handle, asFloat64: boolean): HostArray;
  item(tensor: Handle): number;
  shape(tensor: Handle): number[];
  dtype(tensor: Handle): number;
  device(tensor: Handle): Device;
  release(handles: Uint32Array, count: number): void;
  liveTensors(): number;
  grad(
    outputs: Handle[],
    inputs: Handle[],
    gradOutputs: (Handle | undefined)[],
    retainGraph: boolean,
    createGraph: boolean,
  ): (Handle | undefined)[];
  setGradEnabled(enabled: boolean): boolean;
  requiresGrad(tensor: Handle): boolean;
  setRequiresGrad(tensor: Handle, flag: boolean): void;
  generator(seed: number | bigint, device: Device): Handle;
  generatorState(generator: Handle): Uint8Array;
  setGeneratorState(generator: Handle, state: Uint8Array): void;
  mapFile(path: string): { handle: Handle; size: number };
  mappedTensor(file: Handle, offset: number, shape: readonly number[], dtype: number): Handle;
  threads(): number;
  setThreads(count: number): void;
  setMatmulPrecision(precision: MatmulPrecision): void;
  setFlushDenormals(flush: boolean): boolean;
  releaseFreeMemory(): void;
  host(): HostFacts;
}

export interface HostFacts {
  readonly torchVersion: string;
  readonly cpuCapability: string;
  readonly cpuFeatures: Readonly<Record<string, boolean | number | string>>;
  readonly mkldnnBf16: boolean;
  readonly mkldnnFp16: boolean;
  readonly allocator: string;
  readonly cuda: string;
  readonly cudaDevices: number;
  readonly cudaBf16: boolean;
  /** Whether the project's own kernels were built to run on libtorch's threads. */
  readonly threadedKernels: boolean;
  /** What multiplies bf16 and IEEE fp32 matrices on the CPU. */
  readonly bf16Products: Multiplier;
  readonly fp32Products: Multiplier;
  readonly mps: boolean;
}

/** What set-up found and built, as `build/engine.json` records it. */
export interface EngineBuild {
  /** Folder of the `torch` package that the addon was linked against. */
  readonly torch: string;
  readonly torchVersion: string;
  /** `existing`: a PyTorch that was on the machine; `fetched`: the wheel in the cache. */
  readonly source: 'existing' | 'fetched';
}

const hint = 'Run `npm run setup` in the project (or `mallows setup` where it is installed).';
const buildFolder = new URL('../../build/', import.meta.url);

/** Reads `build/engine.json`. Throws `engine-missing` before set-up has run. */
export function engineBuild(): EngineBuild {
  const file = new URL('engine.json', buildFolder);
  if (!existsSync(file)) {
    throw new EngineError(
      'engine-missing',
      `the engine is not built: ${fileURLToPath(file)} does not exist`,
      { hint },
    );
  }
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as EngineBuild;
  } catch (cause) {
    throw new EngineError('engine-missing', `${fileURLToPath(file)} is damaged`, { hint, cause });
  }
}

let loaded: Addon | undefined;

/** The addon, loaded at first use, so that programs which compute nothing run without it. */
export function addon(): Addon {
  loaded ??= load();
  return loaded;
}

/**
 * OpenMP's idle threads spin for milliseconds by default. On a machine that does anything else, the spinning thread holds
 * the core that the working one waits for: steps were measured 2 to 8 times slower. Sleeping at once costs a wake-up for
 * each of the hundreds of operators of a step instead, so threads spin for some microseconds and then sleep. libgomp
 * reads this once, when it is loaded; what the user has set stays.
 */
function letIdleThreadsSleep(): void {
  const { OMP_WAIT_POLICY, GOMP_SPINCOUNT } = process.env;
  if (OMP_WAIT_POLICY === undefined && GOMP_SPINCOUNT === undefined) process.env.GOMP_SPINCOUNT = '10000';
}

function load(): Addon {
  letIdleThreadsSleep();
  const file = fileURLToPath(new URL('mallows.node', buildFolder));
  const build = engineBuild();
  let native: Addon;
  try {
    native = createRequire(import.meta.url)(file) as Addon;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new EngineError(
      'engine-missing',
      `the engine does not load (libtorch in ${build.torch}): ${reason}`,
      {
        hint,
        cause,
      },
    );
  }
  native.setErrorFactory((code, message) => new EngineError(code, message, hintFor(code)));
  return native;
}

function hintFor(code: string): { hint?: string } {
  if (code === 'tensor-disposed') {
    return { hint: 'Return the tensor from its tidy() scope, or keep() it, if it has to live longer.' };
  }
  if (code === 'out-of-memory') {
    return { hint: 'Use a smaller batch, a shorter max_length, or recompute activations.' };
  }
  return {};
}
