/** A weighted logistic regression on soft labels: one row an observation, no intercept of its own. */
export interface LogisticProblem {
  /** Feature columns, `features[j][i]` for feature j of row i. */
  readonly features: readonly Float64Array[];
  /** Probability that the row is a win, in [0, 1]. `[n]` */
  readonly labels: Float64Array;
  /** Non-negative weight of each row. `[n]` */
  readonly weights: Float64Array;
}

/** A problem restricted to some of its rows. */
export function selectRows(problem: LogisticProblem, keep: (row: number) => boolean): LogisticProblem {
  const pick = (column: Float64Array) => column.filter((_, row) => keep(row));
  return {
    features: problem.features.map(pick),
    labels: pick(problem.labels),
    weights: pick(problem.weights),
  };
}

const MAX_NEWTON_STEPS = 200;
const MAX_SWEEPS = 1000;
const SWEEP_TOLERANCE = 1e-13;
const TOLERANCE = 1e-11;

/**
 * Minimises `‖w‖₁ + C Σᵢ weightᵢ · crossEntropy(labelᵢ, σ(w·xᵢ))`: the objective of liblinear's L1-regularised logistic
 * regression. Proximal Newton: coordinate descent on the quadratic model, then a backtracking line search. Unlike
 * liblinear's default it runs to convergence, so its answer does not depend on where it starts.
 */
export function fitL1Logistic(problem: LogisticProblem, c: number): Float64Array {
  const width = problem.features.length;
  const coefficients = new Float64Array(width);
  let objective = penalisedLoss(problem, coefficients, c);
  for (let step = 0; step < MAX_NEWTON_STEPS; step++) {
    const { gradient, hessian } = curvature(problem, coefficients, c);
    const direction = newtonDirection(coefficients, gradient, hessian);
    // The decrease that the model promises; Armijo's rule asks for a fraction of it.
    const promised =
      gradient.reduce((sum, slope, j) => sum + slope * direction[j]!, 0) +
      l1(coefficients.map((value, j) => value + direction[j]!)) -
      l1(coefficients);
    if (promised > -TOLERANCE * Math.max(1, Math.abs(objective))) {
      // Too near for the objective to tell better from worse: Newton's last step squares what error is left.
      return coefficients.map((value, j) => value + direction[j]!);
    }
    let scale = 1;
    for (; scale > 1e-12; scale /= 2) {
      const trial = coefficients.map((value, j) => value + scale * direction[j]!);
      const loss = penalisedLoss(problem, trial, c);
      if (loss <= objective + 1e-2 * scale * promised) {
        coefficients.set(trial);
        objective = loss;
        break;
      }
    }
    if (scale <= 1e-12) return coefficients;
  }
  return coefficients;
}

/** Probability of a win for each row: σ(w·xᵢ). */
export function predict(features: readonly Float64Array[], coefficients: Float64Array): Float64Array {
  const scores = linearScores(features, coefficients);
  return scores.map(sigmoid);
}

/** Mean over rows of weight · cross-entropy, with probabilities kept inside [1e-15, 1 − 1e-15]. */
export function weightedLogLoss(problem: LogisticProblem, coefficients: Float64Array): number {
  const probabilities = predict(problem.features, coefficients);
  let sum = 0;
  probabilities.forEach((raw, row) => {
    const p = Math.min(Math.max(raw, 1e-15), 1 - 1e-15);
    const label = problem.labels[row]!;
    sum -= problem.weights[row]! * (label * Math.log(p) + (1 - label) * Math.log1p(-p));
  });
  return sum / probabilities.length;
}

function penalisedLoss(problem: LogisticProblem, coefficients: Float64Array, c: number): number {
  let sum = 0;
  linearScores(problem.features, coefficients).forEach((z, row) => {
    // Cross-entropy of a soft label: log(1 + e^z) − label · z, written so that neither end overflows.
    const softplus = Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));
    sum += problem.weights[row]! * (softplus - problem.labels[row]! * z);
  });
  return l1(coefficients) + c * sum;
}

function curvature(problem: LogisticProblem, coefficients: Float64Array, c: number) {
  const { features, labels, weights } = problem;
  const probabilities = predict(features, coefficients);
  const gradient = new Float64Array(features.length);
  const hessian = features.map(() => new Float64Array(features.length));
  probabilities.forEach((p, row) => {
    const slope = c * weights[row]! * (p - labels[row]!);
    const bend = c * weights[row]! * p * (1 - p);
    for (let j = 0; j < features.length; j++) {
      const x = features[j]![row]!;
      gradient[j]! += slope * x;
      for (let k = 0; k <= j; k++) hessian[j]![k]! += bend * x * features[k]![row]!;
    }
  });
  for (let j = 0; j < features.length; j++) {
    for (let k = 0; k < j; k++) hessian[k]![j] = hessian[j]![k]!;
  }
  return { gradient, hessian };
}

/** Minimises gᵀd + ½dᵀHd + ‖w + d‖₁ by cycling over the coordinates. */
function newtonDirection(coefficients: Float64Array, gradient: Float64Array, hessian: Float64Array[]) {
  const width = coefficients.length;
  const direction = new Float64Array(width);
  for (let sweep = 0; sweep < MAX_SWEEPS; sweep++) {
    let largest = 0;
    for (let j = 0; j < width; j++) {
      // A column of zeros has no curvature: the penalty alone decides, and it wants zero.
      const bend = Math.max(hessian[j]![j]!, 1e-12);
      let slope = gradient[j]!;
      for (let k = 0; k < width; k++) slope += hessian[j]![k]! * direction[k]!;
      const current = coefficients[j]! + direction[j]!;
      const next = softThreshold(current - slope / bend, 1 / bend);
      largest = Math.max(largest, Math.abs(next - current));
      direction[j] = next - coefficients[j]!;
    }
    if (largest < SWEEP_TOLERANCE) break;
  }
  return direction;
}

function linearScores(features: readonly Float64Array[], coefficients: Float64Array): Float64Array {
  const scores = new Float64Array(features[0]?.length ?? 0);
  features.forEach((column, j) => {
    const weight = coefficients[j]!;
    for (let row = 0; row < scores.length; row++) scores[row]! += weight * column[row]!;
  });
  return scores;
}

function sigmoid(z: number): number {
  return z >= 0 ? 1 / (1 + Math.exp(-z)) : Math.exp(z) / (1 + Math.exp(z));
}

function softThreshold(value: number, threshold: number): number {
  return Math.sign(value) * Math.max(Math.abs(value) - threshold, 0);
}

function l1(values: Float64Array): number {
  return values.reduce((sum, value) => sum + Math.abs(value), 0);
}
