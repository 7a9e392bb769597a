import { join } from 'node:path';
import { loadModel } from '../../checkpoints/index.ts';
import type { TextOrChat } from '../../data/index.ts';
import {
  type AnswerPair,
  type Judge,
  type JudgedPair,
  judgePairs,
  RewardJudge,
  RewardModel,
  requireVerdicts,
} from '../../evaluate/index.ts';
import { type KeptParts, RunReader } from '../../runs/index.ts';
import {
  type Arm,
  type ArmRun,
  armFolder,
  armOptions,
  isControlOf,
  isDpoBeside,
  type Method,
  methodsOf,
} from '../shared/arms.ts';
import { sampleInParts } from '../shared/sampling.ts';
import { stage } from '../shared/stages.ts';
import { comparisonOf } from './claims.ts';
import type { AlignmentRun, Comparison } from './contract.ts';

/** What is compared: the tuned models, and the one that they were tuned from. */
export interface Tuned {
  readonly arms: readonly ArmRun[];
  readonly base: string;
  /** Hash of the pairs that were tuned on. */
  readonly pairs: string;
}

type Answered = readonly { readonly id: string; readonly prompt: TextOrChat; readonly answer: string }[];

interface Answers {
  readonly before: Answered;
  readonly after: ReadonlyMap<Arm, Answered>;
}

/**
 * Every run's answers, judged: each method against the model before, against DPO at the same setting, and θ against its
 * shuffled control. Runs of one seed meet each other, and a method's verdicts are those of all its seeds.
 *
 * @param rewardModel judges where the experiment was given no judge
 */
export async function compareMethods(
  run: AlignmentRun,
  tuned: Tuned,
  rewardModel: string,
): Promise<{ judge: string; comparisons: Comparison[] }> {
  const { experiment, pipeline } = run;
  const answers = await answerAll(run, tuned);
  experiment.onStage?.('judging', false);
  const { judge: given = rewardModel } = experiment;
  const judge =
    typeof given === 'string' ? new RewardJudge(await RewardModel.load(given, pipeline.placement)) : given;
  try {
    return { judge: judge.name, comparisons: await judgeAll(run, answers, judge) };
  } finally {
    if (judge !== given) await judge.close();
  }
}

async function answerAll(run: AlignmentRun, { arms, base, pairs }: Tuned): Promise<Answers> {
  const { experiment, facts } = run;
  const { evaluation, sft, training } = experiment.settings;
  const answer = (model: string, file: string, name: string, made: object): Promise<Answered> =>
    stage(
      join(experiment.output, 'answers', `${file}.json`),
      `answers: ${name}`,
      { evaluation, ...made, base, sft, ...facts },
      experiment,
      (kept) => answerTest(run, model, kept),
    );
  const before = await answer(base, 'base', 'before tuning', {});
  const after = new Map<Arm, Answered>();
  for (const { arm, path } of arms) {
    const made = { ...armOptions(arm, training), pairs };
    after.set(arm, await answer(new RunReader(path).modelPath, armFolder(arm), arm.name, made));
  }
  return { before, after };
}

async function answerTest(
  { experiment, pipeline, parts }: AlignmentRun,
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

async function judgeAll({ experiment }: AlignmentRun, answers: Answers, judge: Judge): Promise<Comparison[]> {
  const { settings, onProgress, signal } = experiment;
  const comparisons: Comparison[] = [];
  const all: JudgedPair[] = [];
  for (const method of methodsOf(settings.training)) {
    for (const { against, meetings } of contestsOf(method, answers)) {
      const judged: JudgedPair[] = [];
      for (const pairs of meetings) {
        judged.push(...(await judgePairs(pairs, judge, { signal, ...(onProgress && { onProgress }) })));
      }
      all.push(...judged);
      comparisons.push(comparisonOf(method, against, judged, settings.seed));
    }
  }
  requireVerdicts(all);
  return comparisons;
}

interface Contest {
  readonly against: string;
  /** Answers of each run of the method beside those that they are compared with. */
  readonly meetings: readonly (readonly AnswerPair[])[];
}

function contestsOf(method: Method, { before, after }: Answers): Contest[] {
  const arms = [...after.keys()];
  const own = arms.filter(({ label }) => label === method.label);
  const contest = (against: string, other: (arm: Arm) => Answered): Contest => ({
    against,
    meetings: own.map((arm) => pairUp(after.get(arm)!, other(arm))),
  });
  const counterparts = [isDpoBeside, isControlOf].flatMap((isCounterpart) => {
    const others = arms.filter((arm) => isCounterpart(arm, method));
    const [first] = others;
    if (first === undefined) return [];
    return [contest(first.label, ({ seed }) => after.get(others.find((arm) => arm.seed === seed)!)!)];
  });
  return [contest('the model before', () => before), ...counterparts];
}

function pairUp(a: Answered, b: Answered): AnswerPair[] {
  return a.map(({ id, prompt, answer }, index) => ({ id, prompt, a: answer, b: b[index]!.answer }));
}
