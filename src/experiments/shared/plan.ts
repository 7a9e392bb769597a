import { type Device, type DType, ops, tensor, tidy } from '../../engine/index.ts';

/** What a stage has to do: in words, and in tokens by what happens to them. */
export interface PlannedStage {
  readonly name: string;
  /** `1500 reviews, upper 10 of 30 layers`. */
  readonly work: string;
  /** Forward and backward, counted in full models. */
  readonly trained?: number;
  readonly scored?: number;
  readonly generated?: number;
}

/** A stage with the time that it may take here. */
export interface EstimatedStage {
  readonly name: string;
  readonly work: string;
  /** Absent where nothing was measured that an estimate could rest on. */
  readonly seconds?: number;
}

/**
 * Rate of each kind of work over that of a matrix product alone, as two CPU cores reach it with SmolLM2-135M
 * (docs/performance.md). Decoding reads every weight for a few tokens.
 */
const EFFICIENCY = { trained: 0.45, scored: 0.6, generated: 0.13 };
/** Floating-point operations a token, over the number of weights. */
const OPERATIONS = { trained: 6, scored: 2, generated: 2 };
/** Loading and saving a model, and whatever else comes with a stage. */
const OVERHEAD_SECONDS = 12;

/** About how long stages take with a model of so many weights. On a CPU only: an accelerator waits for other things. */
export function estimateStages(
  stages: readonly PlannedStage[],
  weights: number,
  { dtype, device }: { readonly dtype: DType; readonly device: Device },
): EstimatedStage[] {
  const rate = device === 'cpu' ? matmulRate(dtype) : undefined;
  return stages.map(({ name, work, ...tokens }) => {
    if (rate === undefined) return { name, work };
    const kinds = ['trained', 'scored', 'generated'] as const;
    const seconds = kinds.map(
      (kind) => ((tokens[kind] ?? 0) * weights * OPERATIONS[kind]) / (rate * EFFICIENCY[kind]),
    );
    return { name, work, seconds: OVERHEAD_SECONDS + seconds.reduce((sum, value) => sum + value, 0) };
  });
}

/** Operations a second of a matrix product of a small model's shape; takes some milliseconds. */
function matmulRate(dtype: DType): number {
  const [rows, from, to] = [560, 576, 1536];
  return tidy(() => {
    const random = (size: number) =>
      ops.to(
        tensor(
          Float32Array.from({ length: size * from }, (_, i) => Math.sin(i)),
          { shape: [size, from] },
        ),
        dtype,
      );
    const [input, weight] = [random(rows), random(to)];
    const times = Array.from({ length: 20 }, () => {
      const start = performance.now();
      tidy(() => void ops.linear(input, weight));
      return performance.now() - start;
    }).sort((a, b) => a - b);
    return (2 * rows * from * to) / (times[times.length >> 1]! / 1000);
  });
}
