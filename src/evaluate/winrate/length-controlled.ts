import { mean, standardDeviation } from '../../stats/index.ts';
import { fitL1Logistic, type LogisticProblem, predict, selectRows, weightedLogLoss } from './l1-logistic.ts';

/** One comparison with the baseline on one instruction. */
export interface ComparedOutput {
  /** Probability that the model's output beats the baseline's, in [0, 1]; absent when it was not judged. */
  readonly preference?: number;
  /** Unicode code points of the model's and of the baseline's output. */
  readonly length: number;
  readonly baselineLength: number;
  /** AlpacaEval's difficulty of the instruction; 0 where it is not known. */
  readonly difficulty: number;
}

export interface LengthControlledFit {
  /** In points: 100 · mean over the instructions of the win probability at equal length. */
  readonly winRate: number;
  /** Upstream's figure in points: sd (ddof 1) of the predicted probabilities over √n. Not the error of the fit. */
  readonly standardError: number;
  readonly coefficients: { readonly length: number; readonly difficulty: number; readonly model: number };
  /** Inverse strength of the L1 penalty that cross-validation chose. */
  readonly c: number;
}

/** Ten values, log-spaced from 1e-4 to 1e4. */
export const PENALTY_GRID: readonly number[] = Array.from({ length: 10 }, (_, i) => 10 ** (-4 + (8 * i) / 9));

const FOLDS = 5;
/** Upstream regularises towards its baseline with λ = 0.2, shared by its two "gamed" baselines. */
const GAMED_WEIGHT = 0.1;

/**
 * AlpacaEval 2's length-controlled win rate (Dubois et al. 2024, arXiv 2404.04475): a logistic model of the preference
 * with a length term, an instruction-difficulty term and a term for the model, read off at equal lengths.
 *
 * Lengths enter as tanh((baseline − model)/sd), sd (ddof 1) over the rows of one model. `gamed` holds the outputs of
 * baselines that were told to be concise or verbose: they share the length and difficulty terms but have no model
 * term, which pins the length effect down. The rows' order decides the folds, as upstream: gamed rows come first.
 */
export function fitLengthControlled(
  rows: readonly ComparedOutput[],
  gamed: readonly (readonly ComparedOutput[])[],
): LengthControlledFit {
  const problem = logisticProblem(rows, gamed);
  const c = chooseByCrossValidation(problem, groupFolds(problem.labels.length, FOLDS), PENALTY_GRID);
  const coefficients = fitL1Logistic(problem, c);
  const [length = 0, difficulty = 0, model = 0] = coefficients;
  const atEqualLength = [
    new Float64Array(rows.length),
    Float64Array.from(rows, (row) => row.difficulty),
    new Float64Array(rows.length).fill(1),
  ];
  const probabilities = predict(atEqualLength, coefficients);
  return {
    winRate: 100 * mean(probabilities),
    standardError: (100 * standardDeviation(probabilities)) / Math.sqrt(rows.length),
    coefficients: { length, difficulty, model },
    c,
  };
}

/** The grid value with the best mean held-out log-loss; the smallest (strongest penalty) among equals. */
export function chooseByCrossValidation(
  problem: LogisticProblem,
  foldOf: Int32Array,
  grid: readonly number[],
): number {
  const scores = crossValidationScores(problem, foldOf, grid);
  return grid[scores.indexOf(Math.max(...scores))]!;
}

/** Mean over folds of the negative weighted log-loss on the rows that the fold held out, one a grid value. */
export function crossValidationScores(
  problem: LogisticProblem,
  foldOf: Int32Array,
  grid: readonly number[],
): number[] {
  const folds = Math.max(...foldOf) + 1;
  const scores = grid.map(() => 0);
  for (let fold = 0; fold < folds; fold++) {
    const training = selectRows(problem, (row) => foldOf[row] !== fold);
    const heldOut = selectRows(problem, (row) => foldOf[row] === fold);
    grid.forEach((c, i) => {
      scores[i]! -= weightedLogLoss(heldOut, fitL1Logistic(training, c)) / folds;
    });
  }
  return scores;
}

/**
 * scikit-learn's GroupKFold when each row is a group of its own (a soft label counts as two samples of one group):
 * groups of equal size are dealt out to the folds from the last to the first.
 */
export function groupFolds(rows: number, folds: number): Int32Array {
  return Int32Array.from({ length: rows }, (_, row) => (rows - 1 - row) % folds);
}

function logisticProblem(
  rows: readonly ComparedOutput[],
  gamed: readonly (readonly ComparedOutput[])[],
): LogisticProblem {
  const columns = { length: [] as number[], difficulty: [] as number[], model: [] as number[] };
  const labels: number[] = [];
  const weights: number[] = [];
  const add = (outputs: readonly ComparedOutput[], isModel: boolean) => {
    // The scale is taken over all rows, judged or not, as upstream.
    const deviation = standardDeviation(outputs.map((output) => output.baselineLength - output.length));
    for (const output of outputs) {
      if (output.preference === undefined) continue;
      const difference = output.baselineLength - output.length;
      columns.length.push(deviation > 0 ? Math.tanh(difference / deviation) : 0);
      columns.difficulty.push(output.difficulty);
      columns.model.push(isModel ? 1 : 0);
      labels.push(output.preference);
      weights.push(isModel ? 1 : GAMED_WEIGHT);
    }
  };
  for (const outputs of gamed) add(outputs, false);
  add(rows, true);
  return {
    features: [columns.length, columns.difficulty, columns.model].map((column) => Float64Array.from(column)),
    labels: Float64Array.from(labels),
    weights: Float64Array.from(weights),
  };
}
