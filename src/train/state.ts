import { join } from 'node:path';
import { openSafetensors } from '../checkpoints/safetensors.ts';
import { writeSafetensors } from '../checkpoints/safetensors-write.ts';
import { type Tensor, tidy } from '../engine/index.ts';
import { type MasterWeights, type Optimizer, restoreTensors } from '../optim/index.ts';
import type { MetricsRecord, SavedCheckpoint } from '../runs/index.ts';

/** What a checkpoint remembers besides tensors. The place in the data and all randomness follow from seed and step. */
export interface LoopState {
  /** Length of `metrics.jsonl`: what comes after belongs to a future that will be computed again. */
  readonly metricsBytes: number;
  /** What the objective carries from step to step. */
  readonly task: Readonly<Record<string, number>>;
  /** Metrics of the last step, not in `metrics.jsonl` yet: its evaluation failed, and is what resuming begins with. */
  readonly pending?: MetricsRecord;
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
  withTensors(join(checkpoint.path, WEIGHTS), (saved) => restoreTensors(masters.state(), saved, 'weights'));
  masters.refresh();
  withTensors(join(checkpoint.path, OPTIMIZER), (saved) => optimizer.restore(saved));
  return checkpoint.state as LoopState;
}

function withTensors(path: string, use: (tensors: ReadonlyMap<string, Tensor>) => void): void {
  tidy(() => {
    const file = openSafetensors([path]);
    use(new Map([...file.names()].map((name) => [name, file.get(name)])));
    file.close();
  });
}
