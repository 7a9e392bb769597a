import { join } from 'node:path';
import { readSafetensors, writeSafetensors } from '../checkpoints/index.ts';
import { tidy } from '../engine/index.ts';
import type { MasterWeights, Optimizer } from '../optim/index.ts';
import { restoreInto } from '../optim/index.ts';
import type { SavedCheckpoint } from '../runs/index.ts';

/** What a checkpoint remembers besides tensors. The place in the data and all randomness follow from seed and step. */
export interface LoopState {
  /** Length of `metrics.jsonl`: what comes after belongs to a future that will be computed again. */
  readonly metricsBytes: number;
  readonly task: Readonly<Record<string, number>>;
}

const WEIGHTS = 'weights.safetensors';
const OPTIMIZER = 'optimizer.safetensors';

/** Writes the fp32 masters (of LoRA: the adapters alone) and the optimiser's state. */
export async function saveTraining(
  directory: string,
  masters: MasterWeights,
  optimizer: Optimizer,
): Promise<void> {
  await writeSafetensors(join(directory, WEIGHTS), masters.state());
  await writeSafetensors(join(directory, OPTIMIZER), optimizer.state());
}

/** Puts a checkpoint's tensors back into the live ones. */
export function restoreTraining(
  checkpoint: SavedCheckpoint,
  masters: MasterWeights,
  optimizer: Optimizer,
): LoopState {
  tidy(() => {
    restoreTensors(masters.state(), readSafetensors(join(checkpoint.path, WEIGHTS)), 'weights');
    masters.refresh();
    optimizer.restore(readSafetensors(join(checkpoint.path, OPTIMIZER)));
  });
  return checkpoint.state as LoopState;
}
