import { setThreads } from '../../src/engine/index.ts';
import { createObjective } from '../../src/objectives/index.ts';
import type { OptimizerOptions } from '../../src/optim/index.ts';
import { RunDirectory } from '../../src/runs/index.ts';
import { startTraining } from '../../src/train/compute.ts';
import type { TrainObserver } from '../../src/train/contract.ts';
import { type LoopResult, runLoop } from '../../src/train/loop.ts';
import { languageModelPass } from '../../src/train/pass.ts';
import { PreferenceTask } from '../../src/train/preference-task.ts';
import { scoreRow } from '../../src/train/score.ts';
import { tinyModel } from './tiny-models.ts';
import { tinyPairs } from './tiny-pairs.ts';

export interface TinyTraining {
  readonly path: string;
  readonly optimizer: OptimizerOptions;
  readonly dtype: 'float32' | 'bfloat16';
  readonly steps: number;
  readonly checkpointEvery: number;
}

/** A whole training run of a few thousand weights: shuffled, accumulated, checkpointed, resumed if there is something. */
export async function tinyTraining(
  { path, optimizer, dtype, steps, checkpointEvery }: TinyTraining,
  observer?: TrainObserver,
): Promise<LoopResult> {
  setThreads(1);
  const pairs = tinyPairs(11);
  const model = tinyModel('llama', 'float32', 1, { initializer_range: 0.1 });
  const reference = scoreRow(model, pairs);
  const parameters = [...model.parameters.values()];
  const masters = startTraining(model, parameters, dtype);
  const task = new PreferenceTask({ pairs, reference }, createObjective({ name: 'dpo' }));
  const run = RunDirectory.open(path, { recipe: { optimizer, dtype }, provenance: {}, resume: true });
  try {
    return await runLoop({
      parameters,
      masters,
      task,
      rowPass: languageModelPass(model, task),
      optimizer,
      learningRate: 2e-3,
      schedule: { name: 'cosine', warmupSteps: 3 },
      seed: 3,
      batch: { pairs: 2, accumulate: 2 },
      steps,
      checkpointEvery,
      run,
      ...(observer && { observer }),
    });
  } finally {
    run.close();
    model.dispose();
  }
}
