import { join } from 'node:path';
import { loadModel } from '../../checkpoints/index.ts';
import { distinctPrompts, hashValues, type PreferencePair, type TextOrChat } from '../../data/index.ts';
import { RewardModel } from '../../evaluate/index.ts';
import { writeJsonLines } from '../../runs/index.ts';
import { mean } from '../../stats/index.ts';
import { bestAndWorst, checkPairs, sampleInParts } from '../shared/sampling.ts';
import { stage } from '../shared/stages.ts';
import type { AlignmentRun } from './contract.ts';

export interface OnPolicyPairs {
  readonly pairs: readonly PreferencePair[];
  readonly meanGap: number;
}

/** Best and worst of several answers of the model itself, by the reward model. */
export async function samplingStage(
  { experiment, pipeline, parts, facts }: AlignmentRun,
  base: string,
  rewardModel: string,
): Promise<OnPolicyPairs> {
  const { settings, output } = experiment;
  const { onPolicy, seed, sft } = settings;
  const prompts = distinctPrompts(parts.train.pairs).slice(0, settings.pairs);
  const identity = {
    ...{ onPolicy, base, sft, rewardModel, reward: settings.reward },
    ...facts,
    prompts: hashValues(prompts),
  };
  return stage(
    join(output, 'on-policy-pairs.json'),
    'on-policy pairs',
    identity,
    experiment,
    async (kept) => {
      const loaded = await loadModel(base, pipeline.placement);
      const answers = await sampleInParts(
        loaded,
        prompts.map(({ prompt }) => prompt),
        { ...onPolicy!, seed },
        experiment,
        kept,
      );
      loaded.model.dispose();
      const reward = await RewardModel.load(rewardModel, pipeline.placement);
      try {
        const asked = prompts.flatMap(({ id, prompt }, index) =>
          answers[index]!.flatMap((text, sample) =>
            text.trim() === '' ? [] : [{ id: `${id}:${sample}`, index, prompt, answer: text }],
          ),
        );
        const scores = await reward.score(asked, experiment);
        const scored = prompts.map(() => [] as { text: string; score: number }[]);
        for (const [at, { index, answer }] of asked.entries()) {
          scored[index]!.push({ text: answer, score: scores[at]! });
        }
        const pairs = prompts.flatMap(({ id, prompt }, index): PreferencePair[] => {
          const [best, worst] = bestAndWorst(scored[index]!) ?? [];
          if (best === undefined || worst === undefined) return [];
          return [
            {
              id,
              prompt,
              chosen: reply(prompt, best.text),
              rejected: reply(prompt, worst.text),
              meta: { score_chosen: best.score, score_rejected: worst.score },
            },
          ];
        });
        checkPairs(pairs.length, prompts.length, 'onPolicy');
        writeJsonLines(
          join(output, 'on-policy-pairs.jsonl'),
          pairs.map(({ meta, ...pair }) => ({ ...pair, ...meta })),
        );
        const gaps = pairs.map(({ meta }) => Number(meta!.score_chosen) - Number(meta!.score_rejected));
        return { pairs, meanGap: mean(gaps) };
      } finally {
        reward.dispose();
      }
    },
  );
}

function reply(prompt: TextOrChat, text: string): TextOrChat {
  return typeof prompt === 'string' ? text : [{ role: 'assistant', content: text }];
}
