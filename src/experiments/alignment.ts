import { join } from 'node:path';
import { loadModel } from '../checkpoints/index.ts';
import { hashValues, type PreferencePair, type TextOrChat } from '../data/index.ts';
import {
  type AnswerPair,
  type Judge,
  type JudgedPair,
  judgePairs,
  RewardJudge,
  RewardModel,
  requireVerdicts,
  trainReward,
} from '../evaluate/index.ts';
import { type KeptParts, readMetrics, writeJsonLines } from '../runs/index.ts';
import { mean } from '../stats/index.ts';
import { memoryFacts, trainPreference, trainSft } from '../train/index.ts';
import { alignmentClaims, type Comparison, comparisonOf, rewardFindings } from './alignment-claims.ts';
import { type Parts, readParts } from './alignment-data.ts';
import type { AlignmentKind, AlignmentSettings } from './alignment-settings.ts';
import { type Arm, armFolder, armOptions, armsOf, isControlOf, isDpoBeside, methodsOf } from './arms.ts';
import type { Claim } from './claims.ts';
import { openPipeline, type Pipeline, type PipelineOptions, trainedShare } from './pipeline.ts';
import type { PlannedStage } from './plan.ts';
import { bestAndWorst, checkPairs, sampleInParts } from './sampling.ts';
import { stage, trainingStage } from './stages.ts';

/**
 * `mallows reproduce hh` (sections 5.4, C.3, D.1) and `mallows reproduce ultrafeedback` (sections 5.5, D.2): SFT where the
 * paper has it; a reward model; pairs, the data's own or, on policy, the best and the worst of several answers by that
 * reward; each objective at each setting; answers to held-out prompts; and a judge's win rate of each method against DPO at
 * the same setting. Every stage is kept in `output`, so an interrupted experiment goes on where it stopped.
 *
 * The pairs of the reward model are held apart: no prompt of theirs is trained or judged on. Without a `judge` the same
 * reward model judges, which is fair between methods but no measure of quality: on policy, it is what they were tuned to.
 */

export interface AlignmentExperiment extends PipelineOptions {
  readonly kind: AlignmentKind;
  /** Pairs whose prompts are answered and judged. Default: held out from `data`. */
  readonly evalData?: string;
  readonly settings: AlignmentSettings;
  /**
   * Compares answers: a judge, which the caller closes, or a reward model's directory or hub id, which computes where and as
   * all else does. Default: the reward model of the experiment.
   */
  readonly judge?: Judge | string;
}

/** A trained run: what its held-out pairs say. */
export interface TrainedArm {
  readonly arm: Arm;
  readonly path: string;
  readonly accuracy: number | null;
  readonly margin: number | null;
  readonly loss: number | null;
}

/** The content of report.json. */
export interface AlignmentReport {
  readonly experiment: AlignmentKind;
  readonly scale: 'small' | 'paper';
  readonly settings: AlignmentSettings;
  readonly data: Parts['facts'];
  readonly reward: {
    readonly model: string;
    /** Held-out accuracy with its 95 % interval; null for a model that was given. */
    readonly accuracy: { readonly estimate: number; readonly low: number; readonly high: number } | null;
  };
  readonly pairs: { readonly count: number; readonly onPolicy: boolean; readonly meanGap: number | null };
  readonly judge: string;
  readonly arms: readonly TrainedArm[];
  readonly comparisons: readonly Comparison[];
  readonly claims: readonly Claim[];
  readonly findings: readonly string[];
}

interface OnPolicyPairs {
  readonly pairs: readonly PreferencePair[];
  readonly meanGap: number;
}

/** Runs the pipeline, or what of it is left to do. Throws the signal's reason when interrupted. */
export async function runAlignment(experiment: AlignmentExperiment): Promise<AlignmentReport> {
  const { kind, output, settings, scale, referenceCache } = experiment;
  const pipeline = await openPipeline(experiment, settings.model);
  await checkRewards(experiment, pipeline);
  const parts = await readParts(experiment, pipeline.tokenizer);
  pipeline.plan(planAlignment(settings, parts, pipeline));
  const { source } = parts.facts;
  const run: Run = {
    experiment,
    pipeline,
    parts,
    facts: {
      data: hashValues([parts.reward.pairs, parts.train.pairs, parts.test.pairs]),
      seed: settings.seed,
      dtype: pipeline.training.dtype,
      model: settings.model,
    },
  };
  const reward = await rewardStage(run);
  const base = await sftStage(run);
  const sampled = settings.onPolicy === null ? undefined : await samplingStage(run, base, reward.model);
  const pairs = sampled?.pairs ?? parts.train.pairs.slice(0, settings.pairs);
  const named = {
    pairs,
    ...memoryFacts(
      pairs,
      hashValues(pairs),
      sampled === undefined
        ? `${source}: pairs to tune on`
        : `${source}: best and worst of ${settings.onPolicy!.samples} answers to its prompts`,
    ),
  };
  const arms: TrainedArm[] = [];
  for (const arm of armsOf(settings.training, settings.seed)) {
    const path = join(output, 'runs', armFolder(arm));
    const options = armOptions(arm, settings.training);
    await trainingStage(
      path,
      arm.name,
      { base, sft: settings.sft, ...run.facts, pairs: named.hash, ...options },
      experiment,
      (place) =>
        trainPreference({
          ...pipeline.training,
          ...place,
          ...options,
          model: base,
          data: named,
          evalFraction: Math.min(0.5, Math.max(0.1, 2 / pairs.length)),
          ...(referenceCache !== undefined && { referenceCache }),
        }),
    );
    arms.push({ arm, path, ...lastEvaluation(path) });
  }
  const { judge, comparisons } = await compareMethods(run, arms, base, reward.model, named.hash);
  const { claims, findings } = alignmentClaims(kind, comparisons, scale === 'paper');
  return {
    experiment: kind,
    scale,
    settings,
    data: parts.facts,
    reward,
    pairs: { count: pairs.length, onPolicy: sampled !== undefined, meanGap: sampled?.meanGap ?? null },
    judge,
    arms,
    comparisons,
    claims,
    findings: [
      ...rewardFindings(reward.accuracy, {
        pairs: sampled !== undefined,
        judging: experiment.judge === undefined,
      }),
      ...findings,
    ],
  };
}

/** Opens the reward models that were given: one that cannot score is found before anything is trained, not after. */
async function checkRewards({ settings, judge }: AlignmentExperiment, pipeline: Pipeline): Promise<void> {
  const given = [settings.reward.model, judge].filter((spec) => typeof spec === 'string');
  for (const spec of new Set(given)) {
    const reward = await openReward(spec, pipeline);
    reward.loaded.model.dispose();
  }
}

/** What every stage is given. */
interface Run {
  readonly experiment: AlignmentExperiment;
  readonly pipeline: Pipeline;
  readonly parts: Parts;
  /** What every stage's result depends on. */
  readonly facts: Readonly<Record<string, unknown>>;
}

/** What is to be done, in the order of `runAlignment`. */
function planAlignment(
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

async function rewardStage({ experiment, pipeline, parts, facts }: Run): Promise<AlignmentReport['reward']> {
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
        pairs,
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
  const last = readMetrics(path).findLast((record) => record['eval_rewards/accuracies'] !== undefined);
  const number = (name: string) => last?.[`eval_rewards/accuracies${name}`] ?? Number.NaN;
  return { model: trained, accuracy: { estimate: number(''), low: number('/low'), high: number('/high') } };
}

async function sftStage({ experiment, pipeline, parts, facts }: Run): Promise<string> {
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

/** Best and worst of several answers of the model itself, by the reward model. */
async function samplingStage(
  { experiment, pipeline, parts, facts }: Run,
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
      const reward = await openReward(rewardModel, pipeline);
      try {
        const asked = prompts.flatMap(({ id, prompt }, index) =>
          answers[index]!.flatMap((text, sample) =>
            text.trim() === '' ? [] : [{ id: `${id}:${sample}`, index, prompt, answer: text }],
          ),
        );
        const scores = await reward.score(asked, experiment.onProgress);
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
        reward.loaded.model.dispose();
      }
    },
  );
}

function distinctPrompts(pairs: readonly PreferencePair[]): PreferencePair[] {
  return [...new Map(pairs.map((pair) => [hashValues([pair.prompt]), pair])).values()];
}

function reply(prompt: TextOrChat, text: string): TextOrChat {
  return typeof prompt === 'string' ? text : [{ role: 'assistant', content: text }];
}

type Answered = readonly { readonly id: string; readonly prompt: TextOrChat; readonly answer: string }[];

/**
 * Every run's answers, judged: each method against the model before, against DPO at the same setting, and θ against its
 * shuffled control. Runs of one seed meet each other, and a method's verdicts are those of all its seeds.
 */
async function compareMethods(
  run: Run,
  arms: readonly TrainedArm[],
  base: string,
  rewardModel: string,
  pairs: string,
): Promise<{ judge: string; comparisons: Comparison[] }> {
  const { experiment, facts } = run;
  const { settings, output, onStage, onProgress, signal } = experiment;
  const { evaluation, sft, training } = settings;
  const answer = (model: string, file: string, name: string, made: object): Promise<Answered> =>
    stage(
      join(output, 'answers', `${file}.json`),
      `answers: ${name}`,
      { evaluation, ...made, base, sft, ...facts },
      experiment,
      (kept) => answerTest(run, model, kept),
    );
  const before = await answer(base, 'base', 'before tuning', {});
  const answers = new Map<Arm, Answered>();
  for (const { arm, path } of arms) {
    const made = { ...armOptions(arm, training), pairs };
    answers.set(arm, await answer(join(path, 'model'), armFolder(arm), arm.name, made));
  }
  onStage?.('judging', false);
  const { judge: given = rewardModel } = experiment;
  const judge = typeof given === 'string' ? new RewardJudge(await openReward(given, run.pipeline)) : given;
  try {
    const comparisons: Comparison[] = [];
    const all: JudgedPair[] = [];
    for (const method of methodsOf(training)) {
      const own = arms.flatMap(({ arm }) => (arm.label === method.label ? [arm] : []));
      const meet = async (against: string, other: (arm: Arm) => Answered): Promise<void> => {
        const judged: JudgedPair[] = [];
        for (const arm of own) {
          judged.push(
            ...(await judgePairs(pairUp(answers.get(arm)!, other(arm)), judge, {
              signal,
              ...(onProgress && { onProgress }),
            })),
          );
        }
        all.push(...judged);
        comparisons.push(comparisonOf(method, against, judged, settings.seed));
      };
      await meet('the model before', () => before);
      for (const isCounterpart of [isDpoBeside, isControlOf]) {
        const counterparts = arms.filter(({ arm }) => isCounterpart(arm, method));
        const [first] = counterparts;
        if (first === undefined) continue;
        await meet(first.arm.label, ({ seed }) => {
          return answers.get(counterparts.find(({ arm }) => arm.seed === seed)!.arm)!;
        });
      }
    }
    requireVerdicts(all);
    return { judge: judge.name, comparisons };
  } finally {
    if (judge !== given) await judge.close();
  }
}

function pairUp(a: Answered, b: Answered): AnswerPair[] {
  return a.map(({ id, prompt, answer }, index) => ({ id, prompt, a: answer, b: b[index]!.answer }));
}

async function answerTest(
  { experiment, pipeline, parts }: Run,
  model: string,
  kept: KeptParts,
): Promise<Answered> {
  const { seeds, ...sampling } = experiment.settings.evaluation;
  const test = parts.test.pairs;
  const loaded = await loadModel(model, pipeline.placement);
  try {
    const answers = await sampleInParts(
      loaded,
      test.map(({ prompt }) => prompt),
      { samples: seeds, seed: experiment.settings.seed, ...sampling },
      experiment,
      kept,
    );
    return test.flatMap(({ id, prompt }, index) =>
      answers[index]!.map((text, seed) => ({
        id: seeds > 1 ? `${id}#${seed}` : id,
        prompt,
        answer: text,
      })),
    );
  } finally {
    loaded.model.dispose();
  }
}

function openReward(spec: string, { placement }: Pipeline): Promise<RewardModel> {
  return RewardModel.load(spec, placement);
}

function lastEvaluation(path: string): Pick<TrainedArm, 'accuracy' | 'margin' | 'loss'> {
  const last = readMetrics(path).findLast((record) => record.eval_loss !== undefined);
  return {
    accuracy: last?.['eval_rewards/accuracies'] ?? null,
    margin: last?.['eval_rewards/margins'] ?? null,
    loss: last?.eval_loss ?? null,
  };
}
