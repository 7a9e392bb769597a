import { join } from 'node:path';
import type { PairDataset } from '../../data/index.ts';
import { type PreferenceOptions, trainPreference } from '../../train/index.ts';
import { type ArmRun, type ArmTraining, armFolder, armOptions, armsOf } from './arms.ts';
import type { Pipeline, PipelineOptions } from './pipeline.ts';
import { trainingStage } from './stages.ts';

/** What every arm of an experiment starts from. */
export interface ArmsStart {
  /** Directory of the model that is tuned. */
  readonly model: string;
  readonly data: PairDataset;
  /** What a run depends on besides its arm: one that was trained on other facts is replaced. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** What is measured of the policy along its training, beside held-out pairs at start and end. */
  readonly measured?: Pick<PreferenceOptions, 'evaluation' | 'probe'>;
}

interface ArmsExperiment extends PipelineOptions {
  readonly settings: { readonly training: ArmTraining; readonly seed: number };
}

/** Tunes the model once for every arm, each into a run of its own under `output`. */
export async function trainArms(
  experiment: ArmsExperiment,
  pipeline: Pipeline,
  { model, data, facts, measured = {} }: ArmsStart,
): Promise<ArmRun[]> {
  const { output, referenceCache, settings } = experiment;
  const runs: ArmRun[] = [];
  for (const arm of armsOf(settings.training, settings.seed)) {
    const path = join(output, 'runs', armFolder(arm));
    const options = armOptions(arm, settings.training);
    await trainingStage(path, arm.name, { ...facts, ...options }, experiment, (place) =>
      trainPreference({
        ...pipeline.training,
        ...place,
        ...options,
        ...measured,
        model,
        data,
        // A tenth of the pairs is held out, and two of very few.
        evalFraction: Math.min(0.5, Math.max(0.1, 2 / data.examples.length)),
        ...(referenceCache !== undefined && { referenceCache }),
      }),
    );
    runs.push({ arm, path });
  }
  return runs;
}
