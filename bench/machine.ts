import { readFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { engineInfo, memory } from 'mallowspo';

/** Where both sides compute, a GPU or not: what is compared is a CPU's work, and the peer's scripts use no other. */
export const DEVICE = 'cpu';

/** What a figure has to be read with. */
export interface Machine {
  readonly date: string;
  readonly device: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  /** Work of others at the start, in cores. */
  readonly load: number;
  readonly platform: string;
  readonly node: string;
  readonly torch: string;
  readonly threads: number;
  readonly vectors: string;
  readonly bf16Kernels: boolean;
  readonly allocator: string;
}

export function machine(): Machine {
  const { torchVersion, threads, cpuCapability, bf16Kernels, allocator } = engineInfo();
  return {
    date: new Date().toISOString(),
    device: DEVICE,
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    load: loadavg()[0]!,
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
    torch: torchVersion,
    threads,
    vectors: cpuCapability,
    bf16Kernels,
    allocator,
  };
}

/** Resident bytes of this process, and those of them that no file stands behind (known on Linux). */
export function mappedMemory(): { readonly resident: number; readonly anonymous?: number } {
  if (process.platform !== 'linux') return { resident: memory().residentBytes };
  const rollup = readFileSync('/proc/self/smaps_rollup', 'utf8');
  const bytes = (field: string) => 1024 * Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(rollup)![1]);
  return { resident: bytes('Rss'), anonymous: bytes('Anonymous') };
}
