import { armsOf } from '../shared/arms.ts';
import { type Pipeline, trainedShare } from '../shared/pipeline.ts';
import type { PlannedStage } from '../shared/plan.ts';
import type { Parts } from './contract.ts';
import type { AlignmentSettings } from './settings.ts';

/** What is to be done, in the order of `runAlignment`. */
export function planAlignment(
  { reward, sft, onPolicy, training, evaluation, pairs: wanted }: AlignmentSettings,
  { reward: rewardPart, train, test }: Parts,
  { config }: Pipeline,
): PlannedStage[] {
  const prompts = test.pairs.length;
  const answers = prompts * evaluation.seeds;
  const answering = {
    work: `${answers} answers of up to ${evaluation.maxNewTokens} tokens`,
    generated: answers * evaluation.maxNewTokens,
    scored: prompts * test.promptTokens,
  };
  const pairs = Math.min(wanted, train.pairs.length);
  const pairTokens = onPolicy === null ? train.tokens : train.promptTokens + 2 * onPolicy.maxNewTokens;
  const arms = armsOf(training, 0);
  const tuned = Math.min(sft?.pairs ?? 0, train.pairs.length);
  return [
    ...(reward.model === null
      ? [
          {
            name: 'reward model',
            work: `${rewardPart.pairs.length} pairs, upper ${reward.trainedLayers} of ${config.layers} layers`,
            trained:
              reward.epochs *
              rewardPart.pairs.length *
              rewardPart.tokens *
              trainedShare(reward.trainedLayers, config),
          },
        ]
      : []),
    ...(sft === null
      ? []
      : [
          {
            name: 'sft',
            work: `${tuned} chosen answers`,
            trained: (sft.epochs * tuned * (train.tokens + train.promptTokens)) / 2,
          },
        ]),
    ...(onPolicy === null
      ? []
      : [
          {
            name: 'on-policy pairs',
            work: `${pairs} prompts, ${onPolicy.samples} answers of up to ${onPolicy.maxNewTokens} tokens each`,
            generated: pairs * onPolicy.samples * onPolicy.maxNewTokens,
            scored: pairs * (onPolicy.samples + 1) * (train.promptTokens + onPolicy.maxNewTokens),
          },
        ]),
    ...arms.map(({ name }) => ({
      name,
      work: `${pairs} pairs`,
      trained: training.epochs * pairs * pairTokens,
    })),
    { name: 'answers: before tuning', ...answering },
    ...arms.map(({ name }) => ({ name: `answers: ${name}`, ...answering })),
    {
      name: 'judging',
      work: `${arms.length + 1} × ${answers} answers`,
      scored: (arms.length + 1) * answers * (test.promptTokens + evaluation.maxNewTokens),
    },
  ];
}
