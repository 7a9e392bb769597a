import { join } from 'node:path';
import { hashValues } from '../../data/index.ts';
import { RewardModel, trainReward } from '../../evaluate/index.ts';
import { RunReader } from '../../runs/index.ts';
import { memoryFacts, trainSft } from '../../train/index.ts';
import type { Pipeline } from '../shared/pipeline.ts';
import { trainingStage } from '../shared/stages.ts';
import type { AlignmentExperiment, AlignmentReport, AlignmentRun } from './contract.ts';

/** Opens the reward models that were given: one that cannot score is found before anything is trained, not after. */
export async function checkRewards(
  { settings, judge }: AlignmentExperiment,
  pipeline: Pipeline,
): Promise<void> {
  const given = [settings.reward.model, judge].filter((spec) => typeof spec === 'string');
  for (const spec of new Set(given)) {
    const reward = await RewardModel.load(spec, pipeline.placement);
    reward.dispose();
  }
}

export async function rewardStage({
  experiment,
  pipeline,
  parts,
  facts,
}: AlignmentRun): Promise<AlignmentReport['reward']> {
  const { settings, output } = experiment;
  const { model, ...reward } = settings.reward;
  if (model !== null) return { model, accuracy: null };
  const path = join(output, 'reward');
  const { pairs } = parts.reward;
  const trained = await trainingStage(path, 'reward model', { ...reward, ...facts }, experiment, (place) =>
    trainReward({
      ...pipeline.training,
      ...place,
      model: settings.model,
      data: {
        examples: pairs,
        ...memoryFacts(
          pairs,
          hashValues(pairs),
          `${parts.facts.source}: pairs held apart for the reward model`,
        ),
      },
      evalFraction: 0.2,
      epochs: reward.epochs,
      learningRate: reward.learningRate,
      schedule: { name: 'linear', warmupRatio: 0.1 },
      batch: { pairs: reward.batch },
      maxLength: reward.maxLength,
      trainedLayers: reward.trainedLayers,
      seed: settings.seed,
    }),
  );
  const last = new RunReader(path).lastEvaluation();
  const number = (name: string) => last?.[`eval_rewards/accuracies${name}`] ?? Number.NaN;
  return { model: trained, accuracy: { estimate: number(''), low: number('/low'), high: number('/high') } };
}

export async function sftStage({ experiment, pipeline, parts, facts }: AlignmentRun): Promise<string> {
  const { settings, output } = experiment;
  const { sft, model, seed } = settings;
  if (sft === null) return model;
  const examples = parts.train.pairs
    .slice(0, sft.pairs)
    .map(({ id, prompt, chosen }) => ({ id, prompt, completion: chosen }));
  return trainingStage(join(output, 'sft'), 'sft', { ...sft, ...facts }, experiment, (place) =>
    trainSft({
      ...pipeline.training,
      ...place,
      seed,
      model,
      data: {
        examples,
        ...memoryFacts(examples, hashValues(examples), `${parts.facts.source}: chosen answers`),
      },
      evalFraction: 0.05,
      epochs: sft.epochs,
      learningRate: sft.learningRate,
      batch: { pairs: sft.batch },
      maxLength: sft.maxLength,
    }),
  );
}
