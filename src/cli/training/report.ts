import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { lastTurn, plainText, type TextOrChat } from '../../data/index.ts';
import type { DispersionModel } from '../../objectives/index.ts';
import {
  type TrainingNumbers,
  type TrainingReportInput,
  trainingReport,
  writeFigure,
} from '../../report/index.ts';
import { readJsonLines, readMetrics, readProvenance, writeFileAtomic } from '../../runs/index.ts';
import type { EvaluatedPair, Sample } from '../../train/index.ts';

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
  const last = metrics.findLast((line) => line.eval_loss !== undefined)?.step;
  const before = readRecords<EvaluatedPair>(runPath, 'evaluations/step-0.jsonl');
  const after =
    last === undefined ? [] : readRecords<EvaluatedPair>(runPath, `evaluations/step-${last}.jsonl`);
  const dispersion = readRecords<{ id: string; negLogDispersion: number }>(runPath, 'dispersion.jsonl');
  const [fitted] = readRecords<DispersionModel>(runPath, 'dispersion.json');
  const provenance = readProvenance(runPath);
  const trainedOn = provenance.data as { readonly objective?: unknown } | undefined;
  return {
    // Only preference tuning has an objective.
    method: trainedOn?.objective === undefined ? 'sft' : 'preference',
    title,
    subtitle,
    finished,
    metrics,
    ...(before.length > 0 && after.length === before.length
      ? {
          heldOut: {
            prompts: after.map(({ id, prompt = id }) => prompt), // Runs of earlier versions do not name prompts.
            lossesBefore: Float64Array.from(before, ({ loss }) => loss),
            lossesAfter: Float64Array.from(after, ({ loss }) => loss),
            marginsBefore: Float64Array.from(before, rewardMargin),
            marginsAfter: Float64Array.from(after, rewardMargin),
            correctAfter: Float64Array.from(after, ({ win }) => win),
          },
        }
      : {}),
    ...(fitted !== undefined && fitted.source !== 'none'
      ? {
          dispersion: {
            phiStar: fitted.phiStar,
            source: fitted.source,
            shuffled: fitted.shuffle !== undefined,
            prompts: dispersion.map(({ id, negLogDispersion }) => ({
              id,
              prompt: lastTurn(prompts?.get(id) ?? id),
              negLogDispersion,
            })),
          },
        }
      : {}),
    samples: readRecords<Sample>(runPath, 'samples.jsonl').flatMap(
      ({ prompt, before: first, after: second }) =>
        second === undefined ? [] : [{ prompt: plainText(prompt), before: first, after: second }],
    ),
    recipe: readFileSync(join(runPath, 'recipe.yaml'), 'utf8'),
    provenance,
  };
}

function rewardMargin({ chosenReward, rejectedReward }: EvaluatedPair): number {
  return chosenReward - rejectedReward;
}

function readRecords<T>(runPath: string, name: string): T[] {
  const path = join(runPath, name);
  return existsSync(path) ? ([...readJsonLines(path).records] as T[]) : [];
}
