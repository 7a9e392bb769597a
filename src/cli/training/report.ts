import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { lastTurn, plainText, type TextOrChat } from '../../data/index.ts';
import type { DispersionModel, ObjectiveOptions } from '../../objectives/index.ts';
import {
  type HeldOutPairs,
  type MeasuredKl,
  type TrainingNumbers,
  type TrainingReportInput,
  trainingReport,
  type UsedDispersion,
  writeFigure,
} from '../../report/index.ts';
import {
  type MetricsRecord,
  readJsonLines,
  readMetrics,
  readProvenance,
  writeFileAtomic,
} from '../../runs/index.ts';
import type { EvaluatedPair, Sample } from '../../train/index.ts';
import type { PromptKl } from '../../train/preference-evaluator.ts';

/** Prompts of the training pairs by id, to name the most and the least dispersed ones. */
export type Prompts = ReadonlyMap<string, TextOrChat>;

export interface RunReportOptions {
  readonly title: string;
  readonly subtitle: string;
  readonly finished: boolean;
  readonly prompts?: Prompts;
}

/**
 * Writes `report.html`, `report.json` and `figures/` of a run from what is in its directory, so that a report can be
 * written again at any time.
 */
export async function writeRunReport(runPath: string, options: RunReportOptions): Promise<TrainingNumbers> {
  const { html, figures, numbers } = await trainingReport(readRun(runPath, options));
  for (const figure of figures) await writeFigure(join(runPath, 'figures'), figure);
  writeFileAtomic(join(runPath, 'report.json'), `${JSON.stringify(numbers, null, 2)}\n`);
  writeFileAtomic(join(runPath, 'report.html'), html);
  return numbers;
}

function readRun(runPath: string, options: RunReportOptions): TrainingReportInput {
  const { title, subtitle, finished, prompts } = options;
  const metrics = readMetrics(runPath);
  const provenance = readProvenance(runPath);
  // Only preference tuning has an objective.
  const { objective } = (provenance.data ?? {}) as { readonly objective?: ObjectiveOptions };
  const heldOut = readHeldOut(runPath, metrics);
  const dispersion = readDispersion(runPath, prompts);
  return {
    ...(objective && { objective }),
    title,
    subtitle,
    finished,
    metrics,
    ...(heldOut && { heldOut }),
    kl: readKl(runPath, metrics),
    ...(dispersion && { dispersion }),
    samples: readRecords<Sample>(runPath, 'samples.jsonl').flatMap(
      ({ prompt, before: first, after: second }) =>
        second === undefined ? [] : [{ prompt: plainText(prompt), before: first, after: second }],
    ),
    recipe: readFileSync(join(runPath, 'recipe.yaml'), 'utf8'),
    provenance,
  };
}

/** Held-out pairs before the first step and at the last evaluation, where the run has both. */
function readHeldOut(runPath: string, metrics: readonly MetricsRecord[]): HeldOutPairs | undefined {
  const last = metrics.findLast((line) => line.eval_loss !== undefined)?.step;
  if (last === undefined) return undefined;
  const before = readRecords<EvaluatedPair>(runPath, 'evaluations/step-0.jsonl');
  const after = readRecords<EvaluatedPair>(runPath, `evaluations/step-${last}.jsonl`);
  if (before.length === 0 || after.length !== before.length) return undefined;
  const chosenLogRatios = after.flatMap(({ chosenLogRatio }) => chosenLogRatio ?? []);
  return {
    prompts: after.map(({ prompt }) => prompt),
    lossesBefore: Float64Array.from(before, ({ loss }) => loss),
    lossesAfter: Float64Array.from(after, ({ loss }) => loss),
    marginsBefore: Float64Array.from(before, rewardMargin),
    marginsAfter: Float64Array.from(after, rewardMargin),
    correctBefore: Float64Array.from(before, ({ win }) => win),
    correctAfter: Float64Array.from(after, ({ win }) => win),
    ...(chosenLogRatios.length === after.length && {
      chosenLogRatios: Float64Array.from(chosenLogRatios),
    }),
  };
}

/** The KL of every prompt, at the evaluations that measured it. */
function readKl(runPath: string, metrics: readonly MetricsRecord[]): MeasuredKl[] {
  return metrics.flatMap((line): MeasuredKl[] => {
    if (line['eval_kl/on_policy'] === undefined) return [];
    const records = readRecords<PromptKl>(runPath, `evaluations/step-${line.step}.kl.jsonl`);
    if (records.length === 0) return [];
    return [
      {
        step: line.step,
        prompts: records.map(({ id, prompt = id }) => prompt),
        kls: Float64Array.from(records, ({ kl }) => kl),
      },
    ];
  });
}

/** The weights w(x) of the training pairs, where the objective used any. */
function readDispersion(runPath: string, prompts: Prompts | undefined): UsedDispersion | undefined {
  const [fitted] = readRecords<DispersionModel>(runPath, 'dispersion.json');
  if (fitted === undefined || fitted.source === 'none') return undefined;
  const weights = readRecords<{ id: string; negLogDispersion: number }>(runPath, 'dispersion.jsonl');
  return {
    phiStar: fitted.phiStar,
    source: fitted.source,
    shuffled: fitted.shuffle !== undefined,
    prompts: weights.map(({ id, negLogDispersion }) => ({
      id,
      prompt: lastTurn(prompts?.get(id) ?? id),
      negLogDispersion,
    })),
  };
}

function rewardMargin({ chosenReward, rejectedReward }: EvaluatedPair): number {
  return chosenReward - rejectedReward;
}

function readRecords<T>(runPath: string, name: string): T[] {
  const path = join(runPath, name);
  return existsSync(path) ? ([...readJsonLines(path).records] as T[]) : [];
}
