import { type CausalLM, ops, type Tensor, type TokenizedPair, tensor, tidy } from 'mallowspo';
import { spread } from './statistics.ts';

/** A layer's maps below its attention; those above are needed only where their output is read. */
const BELOW_ATTENTION = /\.(q_proj|k_proj|v_proj|c_attn|query_key_value)$/;

/**
 * Floating-point operations that scoring these pairs needs, with every prompt once, no padding, and the head and what lies
 * above the last attention at scored positions only: two for each weight and token, and attention over visible positions.
 * Training needs three times it.
 */
export function forwardFlops(model: CausalLM, pairs: readonly TokenizedPair[]): number {
  const { heads, headWidth } = model.config;
  const maps = model.layers.flatMap((layer) => [...layer.linears.values()]);
  const above = [...model.layers.at(-1)!.linears.values()].filter(({ name }) => !BELOW_ATTENTION.test(name));
  const aboveWeights = weights(above);
  const everywhere = weights(maps) - aboveWeights;
  const headWeights = weights([model.head]);
  let flops = 0;
  for (const { prompt, chosen, rejected } of pairs) {
    const completions = [chosen.length, rejected.length];
    const scored = chosen.length + rejected.length;
    flops += 2 * everywhere * (prompt.length + scored - 2);
    // The prompt's last token predicts the first one of both completions.
    flops += 2 * aboveWeights * (scored - 1) + 2 * headWeights * scored;
    const visible =
      triangle(prompt.length) +
      completions.reduce((sum, length) => sum + triangle(length - 1) + (length - 1) * prompt.length, 0);
    flops += 4 * heads * headWidth * visible * model.layers.length;
  }
  return flops;
}

function weights(maps: readonly Pick<CausalLM['head'], 'inFeatures' | 'outFeatures'>[]): number {
  return maps.reduce((sum, { inFeatures, outFeatures }) => sum + inFeatures * outFeatures, 0);
}

function triangle(n: number): number {
  return (n * (n + 1)) / 2;
}

const SHAPES = [
  [560, 576, 1536],
  [560, 2048, 2048],
  [1024, 1024, 1024],
] as const;

/**
 * The best rate that matrix products of a transformer's shape reach on this machine, operations a second: libtorch's, and
 * the project's own where it has one. A shared processor is two to four times as fast in one moment as in another, so a peak is
 * taken at many moments of a run, and the median of them is what the run is held against.
 */
export class MatmulPeak {
  readonly #factors: readonly (readonly [Tensor, Tensor])[];
  readonly #libtorch: number[] = [];
  readonly #own: number[] = [];

  constructor(dtype: 'float32' | 'bfloat16') {
    this.#factors = SHAPES.map(([rows, from, to]) => [
      random([rows, from], dtype),
      random([to, from], dtype),
    ]);
  }

  /** The peak of this moment, some tens of milliseconds. */
  sample(): void {
    this.#libtorch.push(this.#best((input, weight) => ops.mm(input, ops.t(weight))));
    this.#own.push(this.#best((input, weight) => ops.linear(input, weight)));
  }

  get libtorch(): number {
    return spread(this.#libtorch).median;
  }

  get own(): number {
    return spread(this.#own).median;
  }

  #best(product: (input: Tensor, weight: Tensor) => Tensor, repeats = 4): number {
    let best = 0;
    for (const [input, weight] of this.#factors) {
      const operations = 2 * input.size * weight.shape[0]!;
      for (let repeat = 0; repeat < repeats; repeat++) {
        const start = performance.now();
        tidy(() => void product(input, weight));
        best = Math.max(best, operations / ((performance.now() - start) / 1000));
      }
    }
    return best;
  }
}

function random(shape: readonly [number, number], dtype: 'float32' | 'bfloat16'): Tensor {
  const size = shape[0] * shape[1];
  const values = Float32Array.from({ length: size }, (_, index) => Math.sin(index));
  return ops.to(tensor(values, { shape, dtype: 'float32' }), dtype);
}
