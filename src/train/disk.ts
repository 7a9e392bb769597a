import { statfsSync } from 'node:fs';
import { bytesPerElement, type DType } from '../engine/index.ts';
import type { OptimizerOptions } from '../optim/index.ts';
import { formatBytes } from '../units.ts';
import { slotCount } from './memory.ts';

export interface DiskOptions {
  readonly optimizer: OptimizerOptions;
  readonly trainedParameters: number;
  /** Weights that are saved when training ends, in `dtype`. */
  readonly savedParameters: number;
  readonly dtype: DType;
  /** Checkpoints that are on the disk at once: those that are kept, and one that is being written. */
  readonly checkpoints: number;
}

/** Bytes that training may write into a run directory. */
export function estimateDisk(options: DiskOptions): number {
  const { optimizer, trainedParameters, savedParameters, dtype, checkpoints } = options;
  const checkpoint = 4 * trainedParameters * (1 + slotCount(optimizer));
  return checkpoints * checkpoint + savedParameters * bytesPerElement[dtype];
}

/** A warning where so much would not fit on the disk of a directory. */
export function diskWarning(directory: string, bytes: number): string | undefined {
  const { blocks, bavail, bsize } = statfsSync(directory);
  const free = bavail * bsize;
  // Some network disks do not say how large they are.
  if (blocks === 0 || bytes <= free) return undefined;
  return `Checkpoints and the model take up to ${formatBytes(bytes)}; ${formatBytes(free)} are free on the disk of ${directory}. Make room, keep fewer checkpoints, or train with LoRA.`;
}
