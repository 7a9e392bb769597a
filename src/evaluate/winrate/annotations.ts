import { DataError } from '../../errors.ts';
import { type EvaluationRow, readEvaluationRows } from '../rows.ts';

/** A model's judged outputs, in the order of the instructions. */
export interface ModelAnnotations {
  readonly model: string;
  readonly baseline: string | undefined;
  readonly rows: readonly AnnotationRow[];
}

export interface AnnotationRow {
  /** Zero-based position of the instruction in the evaluation set. */
  readonly index: number;
  /** Probability that the model wins, in [0, 1] (AlpacaEval's preference − 1); absent when it was not judged. */
  readonly preference?: number;
  /** Unicode code points. */
  readonly length: number;
  readonly baselineLength?: number;
  /** The part of the evaluation set that the instruction comes from, where the file says it. */
  readonly dataset?: string;
}

/** What is known of an instruction, whoever answers it. */
export interface InstructionItem {
  readonly baselineLength?: number;
  readonly difficulty: number;
  readonly dataset?: string;
}

/** A row of a "gamed" baseline: told to be concise or verbose. */
export interface GamedRow {
  readonly model: string;
  readonly index: number;
  readonly preference?: number;
  readonly length: number;
}

/**
 * Reads judged outputs in either of two layouts, gzipped or not:
 * - AlpacaEval's `annotations.json`: an array of `{instruction, output_1, output_2, generator_1, generator_2,
 *   preference, …}`, output 1 being the baseline's; `preference` is 1…2, or 0 for a tie, or null;
 * - rows (usually CSV) of `model, index, output_len, preference`, lengths in code points.
 * A file may hold several models; they come back in order of appearance.
 */
export async function readAnnotations(path: string): Promise<ModelAnnotations[]> {
  const models = new Map<string, { baseline: string | undefined; rows: AnnotationRow[] }>();
  for (const row of await readEvaluationRows(path)) {
    const isAlpacaEval = row.has('generator_2');
    const model = row.text(isAlpacaEval ? 'generator_2' : 'model');
    const baseline = isAlpacaEval ? row.text('generator_1') : undefined;
    const known = models.get(model) ?? { baseline, rows: [] };
    if (known.baseline !== baseline) {
      row.fail('generator_1', `"${known.baseline}", the baseline of the other rows of ${model}`);
    }
    models.set(model, known);
    known.rows.push(isAlpacaEval ? alpacaEvalRow(row, known.rows.length) : indexedRow(row));
  }
  for (const [model, { rows }] of models) requireUniqueIndices(path, model, rows);
  return [...models].map(([model, { baseline, rows }]) => ({ model, baseline, rows }));
}

/** Upstream numbers the instructions by the row's position among the model's rows. */
function alpacaEvalRow(row: EvaluationRow, position: number): AnnotationRow {
  return {
    index: position,
    length: codePoints(row.text('output_2')),
    baselineLength: codePoints(row.text('output_1')),
    ...preferenceOf(row),
    ...(row.has('dataset') && { dataset: row.text('dataset') }),
  };
}

function indexedRow(row: EvaluationRow): AnnotationRow {
  return { index: row.count('index'), length: row.count('output_len'), ...preferenceOf(row) };
}

/** AlpacaEval's scale: 1 the baseline wins, 2 the model wins, 1.5 or 0 a tie, nothing: not judged. */
function preferenceOf(row: EvaluationRow): { preference?: number } {
  if (!row.has('preference')) return {};
  const value = row.number('preference');
  if (value === 0) return { preference: 0.5 };
  if (value >= 1 && value <= 2) return { preference: value - 1 };
  return row.fail('preference', 'a number from 1 to 2, 0 for a tie, or nothing');
}

function requireUniqueIndices(path: string, model: string, rows: readonly AnnotationRow[]): void {
  const seen = new Set<number>();
  for (const { index } of rows) {
    if (seen.has(index)) {
      throw new DataError('duplicate-index', `${model} has two rows with index ${index}.`, {
        at: { file: path },
      });
    }
    seen.add(index);
  }
}

/** Reads rows of `index, instruction_difficulty` and, where they are known, `dataset, baseline_len`. */
export async function readItems(path: string): Promise<Map<number, InstructionItem>> {
  const rows = await readEvaluationRows(path);
  return new Map(
    rows.map((row) => [
      row.count('index'),
      {
        difficulty: row.number('instruction_difficulty'),
        ...(row.has('baseline_len') && { baselineLength: row.count('baseline_len') }),
        ...(row.has('dataset') && { dataset: row.text('dataset') }),
      },
    ]),
  );
}

/** Reads rows of `gamed_model, index, output_len, pseudo_preference`, preferences in [0, 1]. */
export async function readGamed(path: string): Promise<GamedRow[]> {
  const rows = await readEvaluationRows(path);
  return rows.map((row) => ({
    model: row.text('gamed_model'),
    index: row.count('index'),
    length: row.count('output_len'),
    ...(row.has('pseudo_preference') && { preference: probability(row, 'pseudo_preference') }),
  }));
}

function probability(row: EvaluationRow, name: string): number {
  const value = row.number(name);
  return value >= 0 && value <= 1 ? value : row.fail(name, 'a probability from 0 to 1');
}

/** Length in Unicode code points, as Python counts. */
export function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}
