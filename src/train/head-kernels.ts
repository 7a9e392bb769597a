import { hasOwnKernels, ops, type Tensor, wideDType } from '../engine/index.ts';

/** Which statistics are read besides the log-probability. */
export interface StatisticsWanted {
  readonly entropy?: boolean | undefined;
  readonly logSumSquares?: boolean | undefined;
}

/** What one chunk of rows says, `[n, 1]` each in fp32 (fp64 for fp64), and what the way back needs of it. */
export interface ChunkStatistics {
  readonly logps: Tensor;
  readonly entropies: Tensor | undefined;
  readonly logSumSquares: Tensor | undefined;
  readonly kept: readonly Tensor[];
}

/** The softmax over the vocabulary and its way back; softmax and statistics are wide whatever the logits' dtype. */
export interface HeadKernel {
  /** `logits [n, vocabulary]` belong to the kernel from here on; `targets [n, 1]` int64. */
  statistics(logits: Tensor, targets: Tensor, wanted: StatisticsWanted): ChunkStatistics;
  /** Gradient of Σ seeds · log p(targets) by the logits, in their dtype; `seeds [n, 1]`. Uses up what was kept. */
  slopes(kept: readonly Tensor[], targets: Tensor, seeds: Tensor, dtype: Tensor['dtype']): Tensor;
  /** KL between the distributions of two tables of logits `[n, vocabulary]`, row by row, nats: `[n]`. */
  divergence(logits: Tensor, reference: Tensor): Tensor;
}

/** The project's own kernel where there is one, otherwise libtorch's operators. */
export function headKernel(hidden: Tensor): HeadKernel {
  return hasOwnKernels(hidden) ? fusedHead : composedHead;
}

/** One pass over logits that lie in cache, and the slopes in their place: nothing else of `[n, vocabulary]` exists. */
export const fusedHead: HeadKernel = {
  statistics(logits, targets, { entropy, logSumSquares }) {
    const statistics = ops.headStatistics(logits, targets);
    const row = (index: number) => ops.unsqueeze(ops.select(statistics, 0, index), 1);
    return {
      logps: row(0),
      entropies: entropy === true ? row(2) : undefined,
      logSumSquares: logSumSquares === true ? row(3) : undefined,
      kept: [logits, row(1)],
    };
  },
  slopes([logits, logSums], targets, seeds) {
    ops.headSlopes_(logits!, targets, logSums!, seeds);
    return logits!;
  },
  divergence: ops.headDivergence,
};

/** The same from libtorch's operators, on any device. */
export const composedHead: HeadKernel = {
  statistics(logits, targets, wanted) {
    const logProbabilities = wideLogSoftmax(logits);
    return {
      logps: ops.gather(logProbabilities, 1, targets),
      ...composedExtras(logProbabilities, wanted),
      kept: [logProbabilities],
    };
  },
  slopes([logProbabilities], targets, seeds, dtype) {
    const slope = ops.exp_(logProbabilities!);
    ops.mul_(slope, ops.neg(seeds));
    ops.scatterAdd_(slope, 1, targets, seeds);
    return ops.to(slope, dtype);
  },
  divergence(logits, reference) {
    const [p, q] = [wideLogSoftmax(logits), wideLogSoftmax(reference)];
    return ops.sum(ops.mul(ops.exp(p), ops.sub(p, q)), [1]);
  },
};

function wideLogSoftmax(logits: Tensor): Tensor {
  return ops.logSoftmax(logits, 1, wideDType(logits.dtype));
}

function composedExtras(
  logProbabilities: Tensor,
  { entropy, logSumSquares }: StatisticsWanted,
): Pick<ChunkStatistics, 'entropies' | 'logSumSquares'> {
  if (entropy !== true && logSumSquares !== true) return { entropies: undefined, logSumSquares: undefined };
  const probabilities = ops.exp(logProbabilities);
  const squares =
    logSumSquares === true
      ? ops.mul(ops.log(ops.linalgVectorNorm(probabilities, 2, [1], true)), 2)
      : undefined;
  if (entropy !== true) return { entropies: undefined, logSumSquares: squares };
  // exp underflows to 0 long before log p leaves the range, so 0 · log p is 0 and never NaN.
  ops.mul_(probabilities, logProbabilities);
  return { entropies: ops.neg(ops.sum(probabilities, [1], true)), logSumSquares: squares };
}
