import { freemem } from 'node:os';
import { EngineError, UsageError } from '../errors.ts';
import { addon, engineBuild } from './addon.ts';
import type { Device, DType, EngineMemory, MatmulPrecision, Multiplier } from './contract.ts';
import { requireSynchronous } from './synchronous.ts';

export interface EngineInfo {
  readonly torchVersion: string;
  /** Folder of the `torch` package in use. */
  readonly torch: string;
  readonly source: 'existing' | 'fetched';
  readonly devices: readonly Device[];
  readonly threads: number;
  /** The widest vector instructions that the CPU kernels use, as libtorch names them: `AVX2`, `AVX512`, … */
  readonly cpuCapability: string;
  /** Whether the CPU multiplies bfloat16 matrices in hardware. Where it does not, bf16 works, slowly. */
  readonly bf16Kernels: boolean;
  /** What multiplies matrices on the CPU. */
  readonly products: Readonly<Record<'bfloat16' | 'float32', Multiplier>>;
  readonly fp16Kernels: boolean;
  /** How freed memory is treated; `MALLOWS_MALLOC=system` leaves the C library alone. */
  readonly allocator: string;
  /** `loaded`, or why there is no CUDA. */
  readonly cuda: string;
  /** Whether the first CUDA device has bf16 instructions: compute capability 8 or more. */
  readonly cudaBf16: boolean;
}

/** What the engine is and what it can do here. */
export function engineInfo(): EngineInfo {
  const build = engineBuild();
  const facts = addon().host();
  const feature = (name: string) => facts.cpuFeatures[name] === true;
  return {
    torchVersion: build.torchVersion,
    torch: build.torch,
    source: build.source,
    devices: devices(),
    threads: threads(),
    cpuCapability: facts.cpuCapability,
    // On x64 oneDNN takes bf16 from AVX-512 on, and emulates it where the instructions are missing.
    bf16Kernels:
      facts.mkldnnBf16 && (process.arch !== 'x64' || feature('avx512_bf16') || feature('amx_bf16')),
    products: { bfloat16: facts.bf16Products, float32: facts.fp32Products },
    fp16Kernels: facts.mkldnnFp16,
    allocator: facts.allocator,
    cuda: facts.cuda,
    cudaBf16: facts.cudaBf16,
  };
}

/** Every device that tensors can live on, the CPU first. */
export function devices(): Device[] {
  const facts = addon().host();
  const found: Device[] = ['cpu'];
  for (let i = 0; i < facts.cudaDevices; i++) found.push(`cuda:${i}`);
  if (facts.mps) found.push('mps');
  return found;
}

/**
 * The device asked for; `auto` is the first CUDA device, else the CPU. Throws `device-missing` for one that is not here.
 */
export function resolveDevice(
  wanted: Device | 'auto' = 'auto',
  available: readonly Device[] = devices(),
): Device {
  const cuda = available.find((device) => device.startsWith('cuda'));
  if (wanted === 'auto') return cuda ?? 'cpu';
  if (available.includes(wanted) || (wanted === 'cuda' && cuda !== undefined)) return wanted;
  throw deviceMissing(wanted, available);
}

function deviceMissing(wanted: string, available: readonly Device[]): UsageError {
  const here = `There ${available.length === 1 ? 'is' : 'are'} ${available.join(', ')}`;
  if (!/^(cpu|mps|cuda(:\d+)?)$/.test(wanted)) {
    return new UsageError('device-missing', `"${wanted}" names no device. ${here}.`, {
      hint: 'Expected auto, cpu, cuda, cuda:N (cuda:0 is the first) or mps.',
    });
  }
  const { cuda, torchVersion } = engineInfo();
  const noCuda = wanted.startsWith('cuda') && !available.some((device) => device.startsWith('cuda'));
  return new UsageError(
    'device-missing',
    `The device ${wanted} is not here. ${here}${noCuda ? ` (CUDA: ${cuda})` : ''}.`,
    {
      hint: noCuda
        ? `The engine has to be a PyTorch with CUDA: pip install torch==${torchVersion}, then MALLOWS_TORCH=python3 mallows setup. mallows doctor says what there is.`
        : 'Name one of these, or auto.',
    },
  );
}

/** Widest heads that FlashAttention has kernels for. */
const FLASH_WIDTH = 256;

/**
 * Whether libtorch's FlashAttention computes heads like these: bf16 and fp16 on CUDA from compute capability 8 on, widths
 * that are multiples of 8.
 */
export function hasFlashAttention(
  { device, dtype }: { readonly device: Device; readonly dtype: DType },
  headWidth: number,
): boolean {
  if (!device.startsWith('cuda') || (dtype !== 'bfloat16' && dtype !== 'float16')) return false;
  return headWidth % 8 === 0 && headWidth <= FLASH_WIDTH && engineInfo().cudaBf16;
}

/** Threads that one operator may use. */
export function threads(): number {
  return addon().threads();
}

export function setThreads(count: number): void {
  addon().setThreads(count);
}

let matmulPrecision: MatmulPrecision = 'highest';

/** How float32 matrix products are computed, from here on. */
export function setMatmulPrecision(precision: MatmulPrecision): void {
  addon().setMatmulPrecision(precision);
  matmulPrecision = precision;
}

/** What multiplies CPU matrices of this type, as the precision of float32 products is set now. */
export function multiplier(dtype: DType): Multiplier {
  const { bf16Products, fp32Products } = addon().host();
  if (dtype === 'bfloat16') return bf16Products;
  if (dtype !== 'float32' || matmulPrecision === 'high') return 'libtorch';
  return matmulPrecision === 'medium' ? bf16Products : fp32Products;
}

/** Raised whenever one of the project's own kernels comes to round otherwise than before. */
const KERNELS = 3;

/** What decides how results round: numbers computed under one text are the same bits, under another only close. */
export function rounding(device: Device): string {
  const { torchVersion, cpuCapability, bf16Products, fp32Products, threadedKernels } = addon().host();
  const kernels = threadedKernels ? [bf16Products, fp32Products, KERNELS] : ['operators'];
  return [
    device,
    torchVersion,
    matmulPrecision,
    ...(device === 'cpu' ? [cpuCapability, ...kernels] : []),
  ].join(' ');
}

/** What is held now. */
export function memory(): EngineMemory {
  return {
    liveTensors: addon().liveTensors(),
    residentBytes: process.memoryUsage.rss(),
    peakResidentBytes: process.resourceUsage().maxRSS * 1024,
  };
}

/** Bytes that this process may still take: the machine's free memory, or the container's limit if that is nearer. */
export function availableMemory(): number {
  const limit = process.constrainedMemory();
  const free = freemem();
  const withinLimit = limit > 0 && limit < 2 ** 62 ? limit - process.memoryUsage.rss() : free;
  return Math.min(free, withinLimit);
}

/** Gives freed memory back to the operating system, once a large part of the work (a model, a pass) is over. */
export function releaseFreeMemory(): void {
  addon().releaseFreeMemory();
}

/**
 * Runs `body`, which is synchronous, with denormal numbers read and written as zero, which some kernels need to stay fast. Throws
 * `denormals-unsupported` on processors that cannot.
 */
export function withoutDenormals<Result>(body: () => Result): Result {
  if (!addon().setFlushDenormals(true)) {
    throw new EngineError('denormals-unsupported', 'this processor cannot flush denormal numbers to zero');
  }
  try {
    const result = body();
    requireSynchronous('withoutDenormals', result);
    return result;
  } finally {
    addon().setFlushDenormals(false);
  }
}

let threadedKernels: boolean | undefined;

/**
 * Whether the project's own kernels (`ops.fused…`) compute tensors like this one: wide types and bf16 on the CPU. Built
 * by a compiler without OpenMP they would use one core where libtorch's operators use all, so they are left alone there.
 */
export function hasOwnKernels(tensor: { readonly device: Device; readonly dtype: DType }): boolean {
  threadedKernels ??= addon().host().threadedKernels;
  return threadedKernels && tensor.device === 'cpu' && tensor.dtype !== 'float16';
}
