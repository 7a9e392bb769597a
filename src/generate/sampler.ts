import { ops, type Tensor, tensor } from '../engine/index.ts';
import { EngineError, UsageError } from '../errors.ts';

/** How the next token is chosen, with transformers' names, order and semantics. */
export interface SamplingOptions {
  /** Take the most likely token; the options below but the penalty are then without effect. */
  readonly greedy?: boolean;
  /** Divides the logits. Default 1. */
  readonly temperature?: number;
  /** Keep the k most likely tokens. Default: all. */
  readonly topK?: number;
  /** Keep the fewest most likely tokens whose probabilities reach p. Default 1: all. */
  readonly topP?: number;
  /** Divides positive and multiplies negative logits of tokens that the sequence already holds. Default 1. */
  readonly repetitionPenalty?: number;
}

export interface Sampler {
  /**
   * @param logits `[n, vocabulary]`
   * @param uniforms one number in [0, 1) for each row
   * @param histories tokens that each row's sequence already holds; read only with a repetition penalty
   */
  choose(logits: Tensor, uniforms: readonly number[], histories: readonly Iterable<number>[]): ChosenTokens;
}

export interface ChosenTokens {
  readonly ids: Int32Array;
  /** Log-probability of each under the model itself: before penalty, temperature, top-k and top-p. */
  readonly logps: Float64Array;
}

/** @throws UsageError for values outside their range. */
export function createSampler(options: SamplingOptions): Sampler {
  const { greedy = false, temperature = 1, topK, topP = 1, repetitionPenalty = 1 } = options;
  check('temperature', temperature, temperature > 0, 'above 0; use greedy for the limit 0');
  check('topP', topP, topP > 0 && topP <= 1, 'above 0 and at most 1');
  check(
    'topK',
    topK ?? 1,
    topK === undefined || (Number.isInteger(topK) && topK > 0),
    'a whole number above 0',
  );
  check('repetitionPenalty', repetitionPenalty, repetitionPenalty > 0, 'above 0');
  return {
    choose(given, uniforms, histories) {
      // MPS has no fp64, which the running sum of a draw needs.
      const rawLogits = given.device === 'mps' ? ops.toDevice(given, 'cpu', given.dtype) : given;
      const logits = rawLogits.dtype === 'float64' ? rawLogits : ops.to(rawLogits, 'float32');
      const normaliser = ops.logsumexp(logits, [-1]);
      refuseNaN(normaliser);
      const scores = repetitionPenalty === 1 ? logits : penalise(logits, histories, repetitionPenalty);
      const scaled = greedy || temperature === 1 ? scores : ops.div(scores, temperature);
      const chosen = greedy
        ? ops.argmax(scaled, -1)
        : topK === undefined && topP === 1
          ? drawFromAll(scaled, uniforms)
          : drawFromTop(scaled, uniforms, topK, topP);
      const picked = ops.squeeze(ops.gather(logits, 1, ops.unsqueeze(chosen, 1)), 1);
      return {
        ids: Int32Array.from(chosen.toFloat64()),
        logps: ops.sub(picked, normaliser).toFloat64(),
      };
    },
  };
}

function check(name: string, value: number, valid: boolean, expected: string): void {
  if (valid) return;
  throw new UsageError('invalid-sampling-option', `${name} must be ${expected}, got ${value}.`);
}

function refuseNaN(normaliser: Tensor): void {
  const row = normaliser.toFloat64().findIndex(Number.isNaN);
  if (row < 0) return;
  throw new EngineError(
    'nan-logits',
    `The model's logits for sequence ${row} of the batch are NaN, so no token can be chosen.`,
    {
      hint: 'Check the weights for NaN or infinite values; if training produced them, use an earlier checkpoint.',
    },
  );
}

function penalise(logits: Tensor, histories: readonly Iterable<number>[], penalty: number): Tensor {
  const [rows, vocabulary] = logits.shape as [number, number];
  const flat = histories.flatMap((history, row) => [...new Set(history)].map((id) => row * vocabulary + id));
  const index = tensor(Float64Array.from(flat), { dtype: 'int64', device: logits.device });
  const copy = ops.clone(ops.reshape(logits, [-1]));
  const seen = ops.indexSelect(copy, 0, index);
  const changed = ops.where(ops.lt(seen, 0), ops.mul(seen, penalty), ops.div(seen, penalty));
  return ops.view(ops.indexCopy_(copy, 0, index, changed), [rows, vocabulary]);
}

/** Inverse-CDF sampling in vocabulary order; the running sum is fp64 so that 50,000 terms do not drift. */
function drawFromAll(scores: Tensor, uniforms: readonly number[]): Tensor {
  const cumulative = ops.cumsum(ops.softmax(scores, -1), -1, { dtype: 'float64' });
  const total = ops.narrow(cumulative, 1, cumulative.shape[1]! - 1, 1);
  const targets = ops.mul(
    total,
    tensor(Float64Array.from(uniforms), { shape: [uniforms.length, 1], device: scores.device }),
  );
  const found = ops.searchsorted(cumulative, targets, { right: true });
  return ops.clampMax(ops.squeeze(found, 1), scores.shape[1]! - 1);
}

/** Enough candidates for nearly every top-p set; where they are not, all are sorted. */
const CANDIDATES = 512;

/** Inverse-CDF sampling in order of falling probability, on the host: a few hundred candidates a row. */
function drawFromTop(
  scores: Tensor,
  uniforms: readonly number[],
  topK: number | undefined,
  topP: number,
): Tensor {
  const [rows, vocabulary] = scores.shape as [number, number];
  const draw = (candidates: number): Int32Array | undefined => {
    const [values, indices] = ops.topk(scores, candidates);
    const top = values.toFloat64();
    const ids = indices.toFloat64();
    const complete = topK !== undefined || candidates === vocabulary;
    const normalisers = complete ? undefined : ops.logsumexp(scores, [-1]).toFloat64();
    const chosen = new Int32Array(rows);
    for (let row = 0; row < rows; row++) {
      const logits = top.subarray(row * candidates, (row + 1) * candidates);
      const shift = normalisers === undefined ? logits[0]! : normalisers[row]!;
      const weights = logits.map((logit) => Math.exp(logit - shift));
      const mass = normalisers === undefined ? weights.reduce((sum, weight) => sum + weight, 0) : 1;
      const kept = nucleusSize(weights, mass * topP);
      if (kept === undefined && !complete) return undefined;
      chosen[row] = ids[row * candidates + pick(weights.subarray(0, kept ?? candidates), uniforms[row]!)]!;
    }
    return chosen;
  };
  const chosen = draw(Math.min(topK ?? CANDIDATES, vocabulary)) ?? draw(vocabulary)!;
  return tensor(chosen, { dtype: 'int64', device: scores.device });
}

/** How many leading weights reach `mass`; undefined if all together do not. */
function nucleusSize(weights: Float64Array, mass: number): number | undefined {
  let sum = 0;
  for (const [index, weight] of weights.entries()) {
    sum += weight;
    if (sum >= mass) return index + 1;
  }
  return undefined;
}

function pick(weights: Float64Array, uniform: number): number {
  const target = uniform * weights.reduce((sum, weight) => sum + weight, 0);
  let sum = 0;
  for (const [index, weight] of weights.entries()) {
    sum += weight;
    if (sum > target) return index;
  }
  return weights.length - 1;
}
