import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { loadClassifier, loadModel, openModel } from '../checkpoints/index.ts';
import {
  hashValues,
  type LoadPairsOptions,
  loadPairs,
  type PreferencePair,
  type TextOrChat,
} from '../data/index.ts';
import { type Device, setThreads } from '../engine/index.ts';
import { DataError } from '../errors.ts';
import {
  type AnswerPair,
  type Judge,
  type JudgedPair,
  judgePairs,
  RewardJudge,
  RewardModel,
  trainReward,
} from '../evaluate/index.ts';
import { readMetrics, writeFileAtomic } from '../runs/index.ts';
import { RandomStream } from '../stats/index.ts';
import { type TrainingDType, type TrainObserver, trainPreference, trainSft } from '../train/index.ts';
import { alignmentClaims, type Comparison, comparisonOf } from './alignment-claims.ts';
import type { AlignmentKind, AlignmentSettings } from './alignment-settings.ts';
import { type Arm, armFolder, armOptions, armsOf } from './arms.ts';
import type { Claim } from './claims.ts';
import { sampleTexts } from './sampling.ts';
import { type StageWatch, stage, trainingStage } from './stages.ts';

/**
 * `mallows reproduce hh` (sections 5.4, C.3, D.1) and `mallows reproduce ultrafeedback` (sections 5.5, D.2): SFT where the
 * paper has it; a reward model; pairs, the data's own or, on policy, the best and the worst of several answers by that
 * reward; each objective at each setting; answers to held-out prompts; and a judge's win rate of each method against DPO at
 * the same setting. Every stage is kept in `output`, so an interrupted experiment goes on where it stopped.
 *
 * The pairs of the reward model are held apart: no prompt of theirs is trained or judged on. Without a `judge` the same
 * reward model judges, which is fair between methods but no measure of quality: on policy, it is what they were tuned to.
 */

export interface AlignmentExperiment extends StageWatch {
  readonly kind: AlignmentKind;
  readonly data: string;
  /** Pairs whose prompts are answered and judged. Default: held out from `data`. */
  readonly evalData?: string;
  readonly output: string;
  readonly settings: AlignmentSettings;
  readonly scale: 'small' | 'paper';
  readonly reading?: LoadPairsOptions;
  /** Compares answers; closed by the caller. Default: the reward model. */
  readonly judge?: Judge;
  readonly dtype?: TrainingDType;
  readonly device?: Device | 'auto';
  readonly threads?: number;
  readonly referenceCache?: string | false;
  readonly observer?: TrainObserver;
}

/** A trained method: what its held-out pairs say. */
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
  readonly data: {
    readonly source: string;
    readonly rows: number;
    readonly badRows: number;
    readonly format: string;
  };
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

interface Parts {
  readonly reward: readonly PreferencePair[];
  readonly train: readonly PreferencePair[];
  readonly test: readonly PreferencePair[];
  readonly facts: AlignmentReport['data'];
}

interface OnPolicyPairs {
  readonly pairs: readonly PreferencePair[];
  readonly meanGap: number;
}

/** Runs the pipeline, or what of it is left to do. Throws the signal's reason when interrupted. */
export async function runAlignment(experiment: AlignmentExperiment): Promise<AlignmentReport> {
  const { kind, output, settings, scale, dtype = 'auto', device = 'auto', observer } = experiment;
  if (experiment.threads !== undefined) setThreads(experiment.threads);
  mkdirSync(output, { recursive: true });
  const parts = await readParts(experiment);
  const { seed } = settings;
  const common = { dtype, device, seed, ...(observer && { observer }) } as const;
  const facts = { data: hashValues([parts.reward, parts.train, parts.test]), seed, dtype };

  const reward = await rewardStage(experiment, parts, facts);
  const base = await sftStage(experiment, parts, facts);
  const sampled =
    settings.onPolicy === null
      ? undefined
      : await samplingStage(experiment, parts, base, reward.model, facts);
  const pairs = sampled?.pairs ?? parts.train;
  const arms: TrainedArm[] = [];
  for (const arm of armsOf(settings.training)) {
    const path = join(output, 'runs', armFolder(arm));
    const options = armOptions(arm, settings.training);
    await trainingStage(
      path,
      arm.label,
      { model: base, ...facts, pairs: hashValues(pairs), ...options },
      experiment,
      (run) =>
        trainPreference({
          ...common,
          ...run,
          ...options,
          model: base,
          data: pairs,
          evalFraction: Math.min(0.5, Math.max(0.1, 2 / pairs.length)),
          ...(experiment.referenceCache !== undefined && { referenceCache: experiment.referenceCache }),
        }),
    );
    arms.push({ arm, path, ...lastEvaluation(path) });
  }
  const { judge, comparisons } = await compareArms(experiment, parts.test, arms, base, reward.model, facts);
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
    ...alignmentClaims(kind, comparisons, scale === 'paper'),
  };
}

/** Splits the data by prompt: for the reward model, for tuning, for judging. */
async function readParts({ data, evalData, settings, reading = {} }: AlignmentExperiment): Promise<Parts> {
  const chatTemplate = await hasChatTemplate(settings.model);
  const options = { chatTemplate, ...reading };
  const all = await loadPairs(data, options);
  const byPrompt = new Map<string, PreferencePair[]>();
  for (const pair of all.pairs) {
    const key = hashValues([pair.prompt]);
    byPrompt.set(key, [...(byPrompt.get(key) ?? []), pair]);
  }
  const groups = [...byPrompt.values()];
  RandomStream.create(settings.seed, 'alignment-split').shuffle(groups);
  const take = (count: number): PreferencePair[] => {
    const taken: PreferencePair[] = [];
    while (taken.length < count && groups.length > 0) taken.push(...groups.pop()!);
    return taken;
  };
  const test =
    evalData === undefined
      ? take(settings.evaluation.prompts)
      : [...(await loadPairs(evalData, options)).pairs];
  const reward = settings.reward.model === null ? take(settings.reward.pairs) : [];
  const train = take(Math.max(settings.pairs, settings.sft?.pairs ?? 0));
  if (train.length < 4 || test.length === 0 || (settings.reward.model === null && reward.length < 4)) {
    throw new DataError(
      'too-few-pairs',
      `${data} has ${all.pairs.length} usable pairs: ${reward.length} for the reward model, ${train.length} to tune on and ${test.length} to judge are left.`,
      { hint: 'Give more pairs, a file with --eval-data, or smaller parts with --set.' },
    );
  }
  return {
    reward,
    train,
    test: distinctPrompts(test).slice(0, settings.evaluation.prompts),
    facts: { source: data, rows: all.pairs.length, badRows: all.badRows.length, format: all.format },
  };
}

async function hasChatTemplate(model: string): Promise<boolean> {
  const { tokenizer, weights } = await openModel(model);
  weights.close();
  return tokenizer.chatTemplate !== undefined;
}

function distinctPrompts(pairs: readonly PreferencePair[]): PreferencePair[] {
  return [...new Map(pairs.map((pair) => [hashValues([pair.prompt]), pair])).values()];
}

async function rewardStage(
  experiment: AlignmentExperiment,
  parts: Parts,
  facts: object,
): Promise<AlignmentReport['reward']> {
  const { settings, output, dtype = 'auto', device = 'auto', observer } = experiment;
  const { model, pairs: _pairs, ...reward } = settings.reward;
  if (model !== null) return { model, accuracy: null };
  const path = join(output, 'reward');
  const trained = await trainingStage(
    path,
    'reward model',
    { ...reward, base: settings.model, ...facts },
    experiment,
    (run) =>
      trainReward({
        ...run,
        model: settings.model,
        data: parts.reward,
        evalFraction: 0.2,
        epochs: reward.epochs,
        learningRate: reward.learningRate,
        batch: { pairs: reward.batch },
        maxLength: reward.maxLength,
        seed: settings.seed,
        dtype,
        ...(device !== 'auto' && { device }),
        ...(observer && { observer }),
      }),
  );
  const last = readMetrics(path).findLast((record) => record['eval_rewards/accuracies'] !== undefined);
  const number = (name: string) => last?.[`eval_rewards/accuracies${name}`] ?? Number.NaN;
  return { model: trained, accuracy: { estimate: number(''), low: number('/low'), high: number('/high') } };
}

async function sftStage(experiment: AlignmentExperiment, parts: Parts, facts: object): Promise<string> {
  const { settings, output, dtype = 'auto', device = 'auto', observer } = experiment;
  const { sft, model, seed } = settings;
  if (sft === null) return model;
  return trainingStage(join(output, 'sft'), 'sft', { ...sft, model, ...facts }, experiment, (run) =>
    trainSft({
      ...run,
      dtype,
      device,
      seed,
      ...(observer && { observer }),
      model,
      data: parts.train
        .slice(0, sft.pairs)
        .map(({ id, prompt, chosen }) => ({ id, prompt, completion: chosen })),
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
  experiment: AlignmentExperiment,
  parts: Parts,
  base: string,
  rewardModel: string,
  facts: object,
): Promise<OnPolicyPairs> {
  const { settings, output } = experiment;
  const { onPolicy, seed } = settings;
  const { samples, ...sampling } = onPolicy!;
  const prompts = distinctPrompts(parts.train).slice(0, settings.pairs);
  const identity = { onPolicy, base, rewardModel, ...facts, prompts: hashValues(prompts) };
  return stage(output, 'on-policy-pairs', identity, experiment, async () => {
    const loaded = await loadModel(base, placed(experiment));
    const answers = await sampleTexts(
      loaded,
      prompts.map(({ prompt }) => prompt),
      { samples, seed, ...sampling },
      experiment,
    );
    loaded.model.dispose();
    const reward = await openReward(rewardModel, experiment);
    try {
      const asked = prompts.flatMap(({ id, prompt }, index) =>
        answers[index]!.flatMap(({ text }, sample) =>
          text.trim() === '' ? [] : [{ id: `${id}:${sample}`, index, prompt, answer: text }],
        ),
      );
      const scores = await reward.score(asked, experiment.onProgress);
      const gaps: number[] = [];
      const pairs = prompts.flatMap(({ id, prompt }, index): PreferencePair[] => {
        const own = asked
          .map((one, at) => ({ ...one, score: scores[at]! }))
          .filter((one) => one.index === index)
          .sort((a, b) => b.score - a.score);
        const [best, worst] = [own[0], own.at(-1)];
        if (best === undefined || worst === undefined || best.answer === worst.answer) return [];
        gaps.push(best.score - worst.score);
        return [
          {
            id,
            prompt,
            chosen: reply(prompt, best.answer),
            rejected: reply(prompt, worst.answer),
            meta: { score_chosen: best.score, score_rejected: worst.score },
          },
        ];
      });
      if (pairs.length < 4) {
        throw new DataError(
          'no-pairs',
          `Only ${pairs.length} of ${prompts.length} prompts have two different answers.`,
          {
            hint: 'Sample more or longer answers: --set onPolicy.samples=N --set onPolicy.maxNewTokens=N.',
          },
        );
      }
      const rows = pairs.map(({ meta, ...pair }) => JSON.stringify({ ...pair, ...meta }));
      writeFileAtomic(join(output, 'on-policy-pairs.jsonl'), `${rows.join('\n')}\n`);
      return { pairs, meanGap: gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length };
    } finally {
      reward.loaded.model.dispose();
    }
  });
}

function reply(prompt: TextOrChat, text: string): TextOrChat {
  return typeof prompt === 'string' ? text : [{ role: 'assistant', content: text }];
}

type Answered = readonly { readonly id: string; readonly prompt: TextOrChat; readonly answer: string }[];

/** Every method's answers, and each method judged against DPO (DPO itself against the model it started from). */
async function compareArms(
  experiment: AlignmentExperiment,
  test: readonly PreferencePair[],
  arms: readonly TrainedArm[],
  base: string,
  rewardModel: string,
  facts: object,
): Promise<{ judge: string; comparisons: Comparison[] }> {
  const { output, settings } = experiment;
  const answer = (model: string, name: string, identity: unknown): Promise<Answered> =>
    stage(
      join(output, 'answers'),
      name,
      { evaluation: settings.evaluation, identity, ...facts },
      experiment,
      () => answerTest(experiment, model, test),
    );
  const before = await answer(base, 'base', { base });
  const answers = new Map<TrainedArm, Answered>();
  for (const one of arms) {
    const identity = {
      ...armOptions(one.arm, settings.training),
      base,
      onPolicy: settings.onPolicy,
      rewardModel,
    };
    answers.set(one, await answer(join(one.path, 'model'), armFolder(one.arm), identity));
  }
  const judge = experiment.judge ?? new RewardJudge(await openReward(rewardModel, experiment));
  try {
    const comparisons: Comparison[] = [];
    for (const one of arms) {
      const dpo = arms.find(
        ({ arm }) =>
          arm.objective === 'dpo' && arm.beta === one.arm.beta && arm.learningRate === one.arm.learningRate,
      );
      const own = answers.get(one)!;
      const judged = async (others: Answered): Promise<JudgedPair[]> =>
        judgePairs(
          pairUp(own, others),
          judge,
          experiment.signal === undefined ? {} : { signal: experiment.signal },
        );
      comparisons.push(comparisonOf(one.arm, 'the model before', await judged(before), settings.seed));
      if (dpo !== undefined && dpo !== one) {
        comparisons.push(
          comparisonOf(one.arm, dpo.arm.label, await judged(answers.get(dpo)!), settings.seed),
        );
      }
    }
    return { judge: judge.name, comparisons };
  } finally {
    if (experiment.judge === undefined) await judge.close();
  }
}

function pairUp(a: Answered, b: Answered): AnswerPair[] {
  return a.map(({ id, prompt, answer }, index) => ({ id, prompt, a: answer, b: b[index]!.answer }));
}

async function answerTest(
  experiment: AlignmentExperiment,
  model: string,
  test: readonly PreferencePair[],
): Promise<Answered> {
  const { seeds, ...sampling } = experiment.settings.evaluation;
  const { prompts: _prompts, ...options } = sampling;
  const loaded = await loadModel(model, placed(experiment));
  try {
    const answers = await sampleTexts(
      loaded,
      test.map(({ prompt }) => prompt),
      { samples: seeds, seed: experiment.settings.seed, ...options },
      experiment,
    );
    return test.flatMap(({ id, prompt }, index) =>
      answers[index]!.map(({ text }, seed) => ({
        id: seeds > 1 ? `${id}#${seed}` : id,
        prompt,
        answer: text,
      })),
    );
  } finally {
    loaded.model.dispose();
  }
}

function placed({ device }: AlignmentExperiment): { device?: Device } {
  return device === undefined || device === 'auto' ? {} : { device };
}

async function openReward(spec: string, experiment: AlignmentExperiment): Promise<RewardModel> {
  return new RewardModel(await loadClassifier(spec, placed(experiment)));
}

function lastEvaluation(path: string): Pick<TrainedArm, 'accuracy' | 'margin' | 'loss'> {
  const last = readMetrics(path).findLast((record) => record.eval_loss !== undefined);
  return {
    accuracy: last?.['eval_rewards/accuracies'] ?? null,
    margin: last?.['eval_rewards/margins'] ?? null,
    loss: last?.eval_loss ?? null,
  };
}
