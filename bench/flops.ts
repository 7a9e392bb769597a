import { type CausalLM, ops, type Tensor, type TokenizedPair, tensor, tidy } from 'mallowspo';

/**
 * Floating-point operations that scoring these pairs needs, with every prompt once, no padding and the head at scored
 * positions only: two for each weight and token, and attention over visible positions. Training needs three times it.
 */
export function forwardFlops(model: CausalLM, pairs: readonly TokenizedPair[]): number {
  const { heads, headWidth } = model.config;
  const layerWeights = model.layers
    .flatMap((layer) => [...layer.linears.values()])
    .reduce((sum, { inFeatures, outFeatures }) => sum + inFeatures * outFeatures, 0);
  const headWeights = model.head.inFeatures * model.head.outFeatures;
  let flops = 0;
  for (const { prompt, chosen, rejected } of pairs) {
    const completions = [chosen.length, rejected.length];
    const scored = chosen.length + rejected.length;
    flops += 2 * layerWeights * (prompt.length + scored - 2) + 2 * headWeights * scored;
    const visible =
      triangle(prompt.length) +
      completions.reduce((sum, length) => sum + triangle(length - 1) + (length - 1) * prompt.length, 0);
    flops += 4 * heads * headWidth * visible * model.layers.length;
  }
  return flops;
}

function triangle(n: number): number {
  return (n * (n + 1)) / 2;
}

/** The best rate that matrix products of a transformer's shape reach here, operations a second. */
export function matmulPeak(dtype: 'float32' | 'bfloat16', repeats = 30): number {
  const shapes = [
    [560, 576, 1536],
    [560, 2048, 2048],
    [1024, 1024, 1024],
  ] as const;
  let best = 0;
  for (const [rows, from, to] of shapes) {
    tidy(() => {
      const input = random([rows, from], dtype);
      const weight = random([to, from], dtype);
      for (let repeat = 0; repeat < repeats; repeat++) {
        const start = performance.now();
        tidy(() => void ops.linear(input, weight));
        best = Math.max(best, (2 * rows * from * to) / ((performance.now() - start) / 1000));
      }
    });
  }
  return best;
}

function random(shape: readonly [number, number], dtype: 'float32' | 'bfloat16'): Tensor {
  const size = shape[0] * shape[1];
  const values = Float32Array.from({ length: size }, (_, index) => Math.sin(index));
  return ops.to(tensor(values, { shape, dtype: 'float32' }), dtype);
}
