import { existsSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { canonicalJson, promptKey, type TextOrChat } from '../../data/index.ts';
import { DataError } from '../../errors.ts';
import { decisiveValues, MADE_OF_MODEL, RunReader } from '../../runs/index.ts';
import { mean } from '../../stats/index.ts';
import { readAnswers } from '../answers.ts';
import type { Winner } from '../judge/pairwise.ts';
import { readEvaluationRows } from '../rows.ts';
import { codePoints } from '../winrate/annotations.ts';
import { distinctN, selfBleu, words } from './diversity.ts';
import { type HeldOutValues, LOG_RATIO_ACCURACY, REWARD_ACCURACY, readHeldOut } from './held-out.ts';
import { countJudged, type JudgedPairs, judgementOf } from './judged.ts';
import type { Method, MetricName, MetricValues, RunEvidence } from './metrics.ts';
import { promptOverlap } from './prompt-overlap.ts';
import { rewardKind } from './reward-kind.ts';

/** Files that say more about a run than its own evaluation does, by default looked for inside the run. */
export interface RunFiles {
  /** Its answers to prompts, as `mallows generate` writes them. Default `answers.jsonl`. */
  readonly answers?: string;
  /** Rewards of those answers, as `mallows reward score` writes them. Default `rewards.jsonl`. */
  readonly rewards?: string;
  /** Verdicts on its answers, as `mallows judge` writes them with the run as A. Default `judged.jsonl`. */
  readonly judged?: string;
}

interface Recipe {
  readonly objective?: Readonly<Record<string, unknown>>;
  readonly [key: string]: unknown;
}

/** Gathers what is known of a run, pair by pair and prompt by prompt. */
export async function loadEvidence(runPath: string, files: RunFiles = {}): Promise<RunEvidence> {
  const run = new RunReader(runPath);
  const recipe: Recipe = run.recipe();
  const step = run.lastEvaluation()?.step;
  const [answers, rewards, judged] = MADE_OF_MODEL.map((name) => runFile(runPath, name, files));
  const wins = judged === undefined ? undefined : await readWins(judged);
  const heldOut = step === undefined ? {} : readHeldOut(runPath, step);
  const ownAccuracy = heldOut[REWARD_ACCURACY];
  const provenance = run.provenance() ?? {};
  const overlap = step === undefined ? undefined : promptOverlap(provenance);
  const heldOutHash = provenance.data?.eval?.hash;
  return {
    path: runPath,
    step,
    finished: run.hasModel(),
    seed: typeof recipe.seed === 'number' ? recipe.seed : undefined,
    ...(heldOutHash !== undefined && { heldOutHash }),
    ...(overlap && { promptOverlap: overlap }),
    ...(wins && { judged: wins.judged }),
    ...(ownAccuracy !== undefined && {
      rewardAccuracy: { kind: rewardKind(recipe.objective), values: ownAccuracy },
    }),
    metrics: {
      ...heldOutMetrics(heldOut),
      ...(answers !== undefined && (await answerMetrics(answers))),
      ...(rewards !== undefined && { reward: await readRewards(rewards) }),
      ...(wins && { winRate: wins.winRate }),
    },
  };
}

/** A file that says more about a run: the one named, or the one inside the run if it is there. */
export function runFile(runPath: string, name: keyof RunFiles, files: RunFiles = {}): string | undefined {
  const path = files[name] ?? join(runPath, `${name}.jsonl`);
  return files[name] !== undefined || existsSync(path) ? path : undefined;
}

/** Puts runs together whose recipes decide all but the seed alike. Methods come in the order of their first run. */
export function groupBySeed(runs: readonly RunEvidence[]): Method[] {
  const groups = new Map<string, RunEvidence[]>();
  for (const run of runs) {
    const { seed: _, ...rest } = decisiveValues(new RunReader(run.path).recipe());
    const key = canonicalJson(rest);
    groups.set(key, [...(groups.get(key) ?? []), run]);
  }
  const members = [...groups.values()];
  const names = nameGroups(members.map((each) => each.map(({ path }) => path)));
  return members.map((each, i) => ({ name: names[i]!, runs: each }));
}

/** A name for runs that differ by their seed: `dpo` for `dpo-seed-1`, `dpo-seed-2`. */
function nameOfSeeds(first: string, count: number): string {
  return count === 1 ? first : first.replace(/[-_.]?(seed|s)?[-_.]?\d+$/i, '') || first;
}

/**
 * Names groups of runs, each its own, by `nameOf` of the first's directory and how many they are; by the directory above
 * where its own says nothing but the seed, as in a sweep.
 */
export function nameGroups(
  groups: readonly (readonly string[])[],
  nameOf: (first: string, count: number) => string = nameOfSeeds,
): string[] {
  const names = groups.map((paths) => {
    const path = resolve(paths[0]!);
    return isSeedOnly(basename(path)) ? basename(dirname(path)) : nameOf(basename(path), paths.length);
  });
  if (new Set(names).size === names.length) return names;
  // Directories of the same name in different places: the whole path tells them apart.
  return groups.map(([first]) => first!);
}

function isSeedOnly(name: string): boolean {
  return /^(seed|s)?[-_.]?\d+$/i.test(name);
}

type Metrics = Partial<Record<MetricName, MetricValues>>;

const HELD_OUT = {
  accuracy: LOG_RATIO_ACCURACY,
  margin: 'log_ratio/margins',
  chosenLogRatio: 'log_ratio/chosen',
  kl: 'kl/on_policy',
} as const satisfies Partial<Record<MetricName, string>>;

function heldOutMetrics(values: HeldOutValues): Metrics {
  return Object.fromEntries(
    Object.entries(HELD_OUT).flatMap(([metric, name]) => {
      const found = values[name];
      return found === undefined ? [] : [[metric, found] as const];
    }),
  );
}

async function answerMetrics(path: string): Promise<Metrics> {
  const answers = (await readAnswers(path)).map(({ id, prompt, texts }) => ({
    id,
    prompt: nameOfPrompt(prompt, id),
    texts,
    words: texts.map(words),
  }));
  const perPrompt = (value: (answer: (typeof answers)[number]) => number) =>
    new Map(
      answers
        .map((answer) => [answer.id, { value: value(answer), prompt: answer.prompt }] as const)
        .filter(([, each]) => !Number.isNaN(each.value)),
    );
  const distinct = (n: number) =>
    perPrompt((answer) => meanOfDefined(answer.words.map((text) => distinctN(text, n))));
  return {
    length: perPrompt(({ texts }) => mean(texts.map(codePoints))),
    distinct1: distinct(1),
    distinct2: distinct(2),
    ...(answers.every(({ texts }) => texts.length > 1) && {
      selfBleu: perPrompt((answer) => mean(selfBleu(answer.words))),
    }),
  };
}

function meanOfDefined(values: readonly number[]): number {
  const defined = values.filter((value) => !Number.isNaN(value));
  return defined.length === 0 ? Number.NaN : mean(defined);
}

/** Rows of `id` and `score`, or `scores` for several answers to a prompt (their mean counts). */
async function readRewards(path: string): Promise<MetricValues> {
  const rows = await readEvaluationRows(path);
  return new Map(
    rows.map((row, i) => {
      const scores = row.has('scores') ? row.raw('scores') : [row.number('score')];
      if (!Array.isArray(scores) || scores.length === 0 || !scores.every((each) => Number.isFinite(each))) {
        row.fail('scores', 'a list of numbers');
      }
      const id = row.has('id') ? String(row.raw('id')) : String(i);
      return [id, { value: mean(scores as number[]), prompt: nameOfPrompt(row.prompt(), id) }];
    }),
  );
}

const WIN = { a: 1, tie: 0.5, b: 0 } as const satisfies Record<Winner, number>;

/** 1 for a win of A, ½ for a tie; pairs without a verdict are left out, and counted. */
async function readWins(
  path: string,
): Promise<{ readonly winRate: MetricValues; readonly judged: JudgedPairs }> {
  const rows = (await readEvaluationRows(path)).map((row) => ({ row, judgement: judgementOf(row) }));
  const winRate = new Map(
    rows.flatMap(({ row, judgement }) => {
      if (!('winner' in judgement)) return [];
      const id = String(row.raw('id'));
      return [[id, { value: WIN[judgement.winner], prompt: nameOfPrompt(row.prompt(), id) }] as const];
    }),
  );
  if (winRate.size === 0)
    throw new DataError('no-verdicts', `${path} holds no verdict.`, { at: { file: path } });
  return { winRate, judged: countJudged(rows.map(({ judgement }) => judgement)) };
}

/** The same for every writing of a prompt, as runs may be asked in chats and in text; without one, a row is its own. */
function nameOfPrompt(prompt: TextOrChat | undefined, id: string): string {
  return prompt === undefined ? id : promptKey(prompt);
}
