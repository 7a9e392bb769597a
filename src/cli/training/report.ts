import { lastTurn, plainText, type TextOrChat } from '../../data/index.ts';
import type { ObjectiveOptions } from '../../objectives/index.ts';
import {
  type HeldOutPairs,
  type MeasuredKl,
  type TrainingNumbers,
  type TrainingReportInput,
  trainingReport,
  type UsedDispersion,
  writeFigure,
} from '../../report/index.ts';
import { type EvaluatedPair, type MetricsRecord, RunReader, writeFileAtomic } from '../../runs/index.ts';
import { win } from '../../stats/summary.ts';

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
  const run = new RunReader(runPath);
  const { html, figures, numbers } = await trainingReport(readRun(run, options));
  for (const figure of figures) await writeFigure(run.file('figures'), figure);
  writeFileAtomic(run.file('reportNumbers'), `${JSON.stringify(numbers, null, 2)}\n`);
  writeFileAtomic(run.file('report'), html);
  return numbers;
}

function readRun(run: RunReader, options: RunReportOptions): TrainingReportInput {
  const { title, subtitle, finished, prompts } = options;
  const metrics = run.metrics();
  const provenance = run.provenance() ?? {};
  const objective = provenance.data?.objective as ObjectiveOptions | undefined;
  const heldOut = readHeldOut(run);
  const dispersion = readDispersion(run, prompts);
  return {
    ...(objective && { objective }),
    title,
    subtitle,
    finished,
    metrics,
    ...(heldOut && { heldOut }),
    kl: readKl(run, metrics),
    ...(dispersion && { dispersion }),
    samples: (run.records('samples') ?? []).flatMap(({ prompt, before: first, after: second }) =>
      second === undefined ? [] : [{ prompt: plainText(prompt), before: first, after: second }],
    ),
    recipe: run.recipeText(),
    provenance,
  };
}

/** Held-out pairs before the first step and at the last evaluation, where the run has both. */
function readHeldOut(run: RunReader): HeldOutPairs | undefined {
  const last = run.lastEvaluation()?.step;
  if (last === undefined) return undefined;
  const before = run.evaluation(0) ?? [];
  const after = run.evaluation(last) ?? [];
  if (before.length === 0 || after.length !== before.length) return undefined;
  const chosenLogRatios = after.flatMap(({ chosenLogRatio }) => chosenLogRatio ?? []);
  const correctByLogRatio = after.flatMap(({ chosenLogRatio: chosen, rejectedLogRatio: rejected }) =>
    chosen === undefined || rejected === undefined ? [] : win(chosen, rejected),
  );
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
    ...(correctByLogRatio.length === after.length && {
      correctByLogRatio: Float64Array.from(correctByLogRatio),
    }),
  };
}

/** The KL of every prompt, at the evaluations that measured it. */
function readKl(run: RunReader, metrics: readonly MetricsRecord[]): MeasuredKl[] {
  return metrics.flatMap((line): MeasuredKl[] => {
    if (line['eval_kl/on_policy'] === undefined) return [];
    const records = run.promptKls(line.step) ?? [];
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
function readDispersion(run: RunReader, prompts: Prompts | undefined): UsedDispersion | undefined {
  const [fitted] = run.records('dispersionModel') ?? [];
  if (fitted === undefined || fitted.source === 'none') return undefined;
  const weights = run.records('dispersion') ?? [];
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
