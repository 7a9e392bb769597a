import { DataError } from '../../errors.ts';
import { mean, standardDeviation } from '../../stats/index.ts';
import type { GamedRow, InstructionItem, ModelAnnotations } from './annotations.ts';
import { type ComparedOutput, fitLengthControlled } from './length-controlled.ts';

/** A model's win rate against the baseline. Rates and errors are in points (0…100). */
export interface WinRate {
  readonly model: string;
  readonly baseline: string | undefined;
  /** Judged rows. */
  readonly n: number;
  readonly winRate: number;
  /** sd (ddof 1) over √n; null for a single row. */
  readonly standardError: number | null;
  /** Length-controlled win rate; null when lengths of the baseline's outputs are not known. */
  readonly lcWinRate: number | null;
  readonly lcStandardError: number | null;
  /** True when the fit lacked the gamed rows or the instructions' difficulty: not comparable with the leaderboard. */
  readonly lcApproximate: boolean;
  readonly wins: number;
  readonly losses: number;
  readonly ties: number;
  /** Rows without a preference: counted, not judged. */
  readonly missing: number;
  /** Mean output length in code points. */
  readonly averageLength: number;
  readonly lcCoefficients: {
    readonly length: number;
    readonly difficulty: number;
    readonly model: number;
  } | null;
  /** Inverse penalty strength that cross-validation chose. */
  readonly lcPenalty: number | null;
  /** What a reader must know before comparing the figures. */
  readonly notes: readonly string[];
}

export interface WinRateContext {
  /** By instruction index: difficulty, and the baseline's length where the annotations lack it. */
  readonly items?: ReadonlyMap<number, InstructionItem>;
  readonly gamed?: readonly GamedRow[];
}

/**
 * Win rate, its standard error and AlpacaEval 2's length-controlled win rate of one model.
 * Throws `DataError` when nothing was judged or a row has no item.
 */
export function winRate(annotations: ModelAnnotations, context: WinRateContext = {}): WinRate {
  const { model, baseline, rows } = annotations;
  const judged = Float64Array.from(
    rows.flatMap((row) => (row.preference === undefined ? [] : [row.preference])),
  );
  if (judged.length === 0) {
    throw new DataError('no-preferences', `None of the ${rows.length} rows of ${model} has a preference.`);
  }
  const notes: string[] = [];
  const missing = rows.length - judged.length;
  if (missing > 0) notes.push(`${missing} of ${rows.length} rows have no preference and are left out.`);
  const lc = lengthControlled(annotations, context, notes);
  return {
    model,
    baseline,
    n: judged.length,
    winRate: 100 * mean(judged),
    standardError: judged.length > 1 ? (100 * standardDeviation(judged)) / Math.sqrt(judged.length) : null,
    lcWinRate: lc?.winRate ?? null,
    lcStandardError: lc?.standardError ?? null,
    lcApproximate: context.gamed === undefined || context.items === undefined,
    wins: judged.filter((p) => p > 0.5).length,
    losses: judged.filter((p) => p < 0.5).length,
    ties: judged.filter((p) => p === 0.5).length,
    missing,
    averageLength: mean(rows.map((row) => row.length)),
    lcCoefficients: lc?.coefficients ?? null,
    lcPenalty: lc?.c ?? null,
    notes,
  };
}

function lengthControlled(annotations: ModelAnnotations, context: WinRateContext, notes: string[]) {
  const { model, baseline, rows } = annotations;
  const { items, gamed } = context;
  if (baseline !== undefined && model === baseline) {
    notes.push('The model is the baseline: its length-controlled win rate is 50 by definition.');
    return { winRate: 50, standardError: 0, coefficients: null, c: null };
  }
  if (items === undefined && rows.some((row) => row.baselineLength === undefined)) {
    notes.push('No length-controlled win rate: without items, the baseline’s lengths are not known.');
    return undefined;
  }
  if (items === undefined) notes.push('Approximate LC win rate: instruction difficulty unknown (no items).');
  if (gamed === undefined) notes.push('Approximate LC win rate: fitted without the gamed baselines’ rows.');
  const disagreeing = rows.find((row) => {
    const dataset = items?.get(row.index)?.dataset;
    return dataset !== undefined && row.dataset !== undefined && dataset !== row.dataset;
  });
  if (disagreeing) {
    throw new DataError(
      'items-misaligned',
      `Row ${disagreeing.index} of ${model} comes from "${disagreeing.dataset}", but the item with that index comes ` +
        `from "${items?.get(disagreeing.index)?.dataset}".`,
      { hint: 'Keep the annotations in the order of the evaluation set; a row’s position is its index.' },
    );
  }
  return fitLengthControlled(
    rows.map((row) => compared(row, items, model)),
    gamed === undefined ? [] : gamedOutputs(gamed, items, rows),
  );
}

function gamedOutputs(
  gamed: readonly GamedRow[],
  items: WinRateContext['items'],
  rows: ModelAnnotations['rows'],
): ComparedOutput[][] {
  const baselineLengths = new Map(rows.map((row) => [row.index, row.baselineLength]));
  const models = new Map<string, ComparedOutput[]>();
  for (const row of gamed) {
    const outputs = models.get(row.model) ?? [];
    models.set(row.model, outputs);
    const baselineLength = items?.get(row.index)?.baselineLength ?? baselineLengths.get(row.index);
    outputs.push(
      compared({ ...row, ...(baselineLength !== undefined && { baselineLength }) }, items, row.model),
    );
  }
  return [...models.values()];
}

function compared(
  row: { index: number; preference?: number; length: number; baselineLength?: number },
  items: WinRateContext['items'],
  model: string,
): ComparedOutput {
  const item = items?.get(row.index);
  if (items !== undefined && item === undefined) {
    throw new DataError(
      'missing-item',
      `${model} has a row with index ${row.index}, but the items have none.`,
      {
        hint: 'Pass the items file of the evaluation set that the annotations were made on.',
      },
    );
  }
  const baselineLength = row.baselineLength ?? item?.baselineLength;
  if (baselineLength === undefined) {
    throw new DataError('missing-field', `No baseline length is known for index ${row.index} of ${model}.`, {
      hint: 'Add the column baseline_len to the items file.',
    });
  }
  return {
    ...(row.preference !== undefined && { preference: row.preference }),
    length: row.length,
    baselineLength,
    difficulty: item?.difficulty ?? 0,
  };
}
