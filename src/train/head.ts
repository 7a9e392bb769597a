import { keep, noGrad, ops, type Tensor, tensor, tidy } from '../engine/index.ts';
import type { Linear } from '../nn/linear.ts';
import type { GradientStore } from './gradients.ts';

export interface HeadOptions {
  /** Per position: entropy of the next-token distribution over the full vocabulary, nats. */
  readonly entropy?: boolean;
  /** Per position: log Σ_v p(v)². */
  readonly logSumSquares?: boolean;
  /** Bytes that one chunk of `[positions, vocabulary]` log-probabilities may take. Default 64 MiB. */
  readonly chunkBytes?: number;
  /**
   * Bytes of log-probabilities that may be kept between forward and backward. Past it, the backward pass computes them
   * again, chunk by chunk, to the same bits. Default 256 MiB; 0 for a pass without backward.
   */
  readonly keepBytes?: number;
}

/** What the head says about each position, in the order given. `[C]` each, nats. */
export interface TokenStatistics {
  readonly logps: Float64Array;
  readonly entropies?: Float64Array;
  readonly logSumSquares?: Float64Array;
}

interface Chunk {
  readonly start: number;
  readonly length: number;
  /** Kept log-probabilities `[length, vocabulary]`, if there was room. */
  logProbabilities: Tensor | undefined;
}

export const DEFAULT_CHUNK_BYTES = 64 * 2 ** 20;
export const DEFAULT_KEEP_BYTES = 256 * 2 ** 20;

/**
 * The output projection at the positions that predict completion tokens, and at no others. It goes over the vocabulary in
 * chunks of positions, so `[tokens, vocabulary]` never exists at once, and its backward pass is the closed form
 * ∂(Σ gₜ log pₜ)/∂logits = gₜ (onehot − p), so autograd holds nothing either.
 *
 * Softmax and its statistics are fp32 even when the projection is bf16.
 */
export class HeadPass {
  readonly statistics: TokenStatistics;
  readonly #head: Linear;
  readonly #hidden: Tensor;
  readonly #targets: Tensor;
  readonly #chunks: readonly Chunk[];

  /** `hidden [C, width]` (after the final norm) predicts `targets [C]`. The caller keeps `hidden` until `dispose`. */
  constructor(head: Linear, hidden: Tensor, targets: Int32Array, options: HeadOptions = {}) {
    if (head.layout !== 'out-in' || head.adapter !== undefined) {
      throw new Error('internal: the head must be a plain [vocabulary, width] projection');
    }
    this.#head = head;
    this.#hidden = hidden;
    this.#targets = keep(column(targets, hidden));
    this.#chunks = split(targets.length, head.outFeatures, hidden, options.chunkBytes ?? DEFAULT_CHUNK_BYTES);
    this.statistics = this.#forward(options);
  }

  #forward(options: HeadOptions): TokenStatistics {
    let room = options.keepBytes ?? DEFAULT_KEEP_BYTES;
    return tidy(() =>
      noGrad(() => {
        const logps: Tensor[] = [];
        const entropies: Tensor[] = [];
        const squares: Tensor[] = [];
        for (const chunk of this.#chunks) {
          const [logp, entropy, square] = tidy(() => {
            const logProbabilities = this.#logProbabilities(chunk);
            const bytes = logProbabilities.size * (logProbabilities.dtype === 'float64' ? 8 : 4);
            if (bytes <= room) {
              room -= bytes;
              chunk.logProbabilities = keep(logProbabilities);
            }
            const target = this.#slice(this.#targets, chunk);
            return [
              ops.gather(logProbabilities, 1, target),
              ...tokenExtras(logProbabilities, options),
            ] as const;
          });
          logps.push(logp);
          if (entropy !== undefined) entropies.push(entropy);
          if (square !== undefined) squares.push(square);
        }
        return {
          logps: ops.cat(logps, 0).toFloat64(),
          ...(options.entropy === true && { entropies: ops.cat(entropies, 0).toFloat64() }),
          ...(options.logSumSquares === true && { logSumSquares: ops.cat(squares, 0).toFloat64() }),
        };
      }),
    );
  }

  /**
   * Gradient of Σ slopes[t] · logps[t]: returns `dHidden [C, width]` in the compute dtype and adds the projection's own
   * gradients to `gradients` where it is trained. Uses up what was kept: call it once.
   */
  backward(slopes: Float64Array, gradients: GradientStore): Tensor {
    return tidy(() =>
      noGrad(() => {
        const seeds = column(slopes, this.#hidden);
        const parts = this.#chunks.map((chunk) => tidy(() => this.#chunkBackward(chunk, seeds, gradients)));
        return ops.cat(parts, 0);
      }),
    );
  }

  #chunkBackward(chunk: Chunk, seeds: Tensor, gradients: GradientStore): Tensor {
    const { weight, bias } = this.#head;
    const seed = this.#slice(seeds, chunk);
    const logits = chunk.logProbabilities ?? this.#logProbabilities(chunk);
    ops.exp_(logits);
    ops.mul_(logits, ops.neg(seed));
    ops.scatterAdd_(logits, 1, this.#slice(this.#targets, chunk), seed);
    const slope = ops.to(logits, this.#hidden.dtype);
    chunk.logProbabilities?.dispose();
    chunk.logProbabilities = undefined;
    if (weight.value.requiresGrad) {
      gradients.addProduct(weight, ops.t(slope), this.#slice(this.#hidden, chunk));
    }
    if (bias?.value.requiresGrad) gradients.add(bias, ops.sum(slope, [0]));
    return ops.mm(slope, weight.value);
  }

  #logProbabilities(chunk: Chunk): Tensor {
    const logits = this.#head.forward(this.#slice(this.#hidden, chunk));
    return ops.logSoftmax(logits, 1, wideType(logits));
  }

  #slice(x: Tensor, { start, length }: Chunk): Tensor {
    return ops.narrow(x, 0, start, length);
  }

  dispose(): void {
    for (const chunk of this.#chunks) chunk.logProbabilities?.dispose();
    this.#targets.dispose();
  }
}

/** Entropy `[n, 1]` and log Σ p² `[n, 1]` of rows of log-probabilities, each if asked for. */
function tokenExtras(
  logProbabilities: Tensor,
  { entropy, logSumSquares }: HeadOptions,
): [Tensor | undefined, Tensor | undefined] {
  if (entropy !== true && logSumSquares !== true) return [undefined, undefined];
  const probabilities = ops.exp(logProbabilities);
  const squares =
    logSumSquares === true
      ? ops.mul(ops.log(ops.linalgVectorNorm(probabilities, 2, [1], true)), 2)
      : undefined;
  if (entropy !== true) return [undefined, squares];
  // exp underflows to 0 long before log p leaves the range, so 0 · log p is 0 and never NaN.
  ops.mul_(probabilities, logProbabilities);
  return [ops.neg(ops.sum(probabilities, [1], true)), squares];
}

function split(rows: number, vocabulary: number, hidden: Tensor, bytes: number): Chunk[] {
  const rowBytes = vocabulary * (hidden.dtype === 'float64' ? 8 : 4);
  const most = Math.max(1, Math.floor(bytes / rowBytes));
  // Equal parts: a short last chunk would waste the matrix product's efficiency.
  const size = Math.ceil(rows / Math.ceil(rows / most));
  const chunks: Chunk[] = [];
  for (let start = 0; start < rows; start += size) {
    chunks.push({ start, length: Math.min(size, rows - start), logProbabilities: undefined });
  }
  return chunks;
}

function column(values: Int32Array | Float64Array, like: Tensor): Tensor {
  const dtype = values instanceof Int32Array ? 'int64' : wideType(like);
  return tensor(values, { shape: [values.length, 1], dtype, device: like.device });
}

function wideType(x: Tensor): 'float64' | 'float32' {
  return x.dtype === 'float64' ? 'float64' : 'float32';
}
