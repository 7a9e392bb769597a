import { bytesPerElement, keep, noGrad, ops, type Tensor, tensor, tidy, wideDType } from '../engine/index.ts';
import type { Linear } from '../nn/linear.ts';
import type { GradientStore } from './gradients.ts';
import { type ChunkStatistics, type HeadKernel, headKernel, type StatisticsWanted } from './head-kernels.ts';

export interface HeadOptions {
  /** Per position: entropy of the next-token distribution over the full vocabulary, nats. */
  readonly entropy?: boolean;
  /** Per position: log Σ_v p(v)². */
  readonly logSumSquares?: boolean;
  /** Bytes that one chunk of `[positions, vocabulary]` logits may take. Default 128 MiB, 32 MiB where nothing is kept. */
  readonly chunkBytes?: number;
  /**
   * Bytes of logits that may be kept between forward and backward. Past it, the backward pass computes them
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
  /** What the way back needs of `[length, vocabulary]`, if there was room to keep it. */
  kept: readonly Tensor[] | undefined;
}

/** Where a backward pass follows: each chunk goes over the whole projection, so few large ones cost less. */
export const DEFAULT_CHUNK_BYTES = 128 * 2 ** 20;
/** Where nothing is kept. */
const PASSING_CHUNK_BYTES = 32 * 2 ** 20;
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
  readonly #kernel: HeadKernel;
  readonly #hidden: Tensor;
  readonly #targets: Tensor;
  readonly #chunks: readonly Chunk[];

  /** `hidden [C, width]` (after the final norm) predicts `targets [C]`. The caller keeps `hidden` until `dispose`. */
  constructor(head: Linear, hidden: Tensor, targets: Int32Array, options: HeadOptions = {}) {
    if (head.layout !== 'out-in' || head.adapter !== undefined) {
      throw new Error('internal: the head must be a plain [vocabulary, width] projection');
    }
    this.#head = head;
    this.#kernel = headKernel(hidden);
    this.#hidden = hidden;
    this.#targets = keep(column(targets, hidden));
    const { keepBytes = DEFAULT_KEEP_BYTES } = options;
    const { chunkBytes = keepBytes > 0 ? DEFAULT_CHUNK_BYTES : PASSING_CHUNK_BYTES } = options;
    this.#chunks = split(targets.length, head.outFeatures, hidden, chunkBytes);
    try {
      this.statistics = this.#forward(options, keepBytes);
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  #forward(wanted: StatisticsWanted, keepBytes: number): TokenStatistics {
    let room = keepBytes;
    return tidy(() =>
      noGrad(() => {
        const parts = this.#chunks.map((chunk) =>
          tidy(() => {
            const { kept, ...statistics } = this.#chunkForward(chunk, wanted);
            const bytes = kept.reduce((sum, x) => sum + x.size * bytesPerElement[x.dtype], 0);
            if (bytes <= room) {
              room -= bytes;
              chunk.kept = kept.map(keep);
            }
            return [statistics.logps, statistics.entropies, statistics.logSumSquares] as const;
          }),
        );
        const joined = (of: 0 | 1 | 2) =>
          ops
            .cat(
              parts.map((part) => part[of]!),
              0,
            )
            .toFloat64();
        return {
          logps: joined(0),
          ...(wanted.entropy === true && { entropies: joined(1) }),
          ...(wanted.logSumSquares === true && { logSumSquares: joined(2) }),
        };
      }),
    );
  }

  #chunkForward(chunk: Chunk, wanted: StatisticsWanted): ChunkStatistics {
    const logits = this.#head.forward(this.#slice(this.#hidden, chunk));
    return this.#kernel.statistics(logits, this.#slice(this.#targets, chunk), wanted);
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
    const kept = chunk.kept ?? this.#chunkForward(chunk, {}).kept;
    const targets = this.#slice(this.#targets, chunk);
    const slope = this.#kernel.slopes(kept, targets, this.#slice(seeds, chunk), this.#hidden.dtype);
    if (weight.value.requiresGrad) {
      gradients.addProduct(weight, ops.t(slope), this.#slice(this.#hidden, chunk));
    }
    if (bias?.value.requiresGrad) gradients.add(bias, ops.sum(slope, [0]));
    const dHidden = ops.product(slope, weight.value);
    release(chunk);
    return dHidden;
  }

  #slice(x: Tensor, { start, length }: Chunk): Tensor {
    return ops.narrow(x, 0, start, length);
  }

  dispose(): void {
    for (const chunk of this.#chunks) release(chunk);
    this.#targets.dispose();
  }
}

function release(chunk: Chunk): void {
  for (const tensor of chunk.kept ?? []) tensor.dispose();
  chunk.kept = undefined;
}

function split(rows: number, vocabulary: number, hidden: Tensor, bytes: number): Chunk[] {
  const rowBytes = vocabulary * bytesPerElement[hidden.dtype];
  const most = Math.max(1, Math.floor(bytes / rowBytes));
  // Equal parts: a short last chunk would waste the matrix product's efficiency.
  const size = Math.ceil(rows / Math.ceil(rows / most));
  const chunks: Chunk[] = [];
  for (let start = 0; start < rows; start += size) {
    chunks.push({ start, length: Math.min(size, rows - start), kept: undefined });
  }
  return chunks;
}

function column(values: Int32Array | Float64Array, like: Tensor): Tensor {
  const dtype = values instanceof Int32Array ? 'int64' : wideDType(like.dtype);
  return tensor(values, { shape: [values.length, 1], dtype, device: like.device });
}
