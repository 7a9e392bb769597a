/** RoPE scaling of Llama 3.1 and later, as config.json states it. */
export interface Llama3Scaling {
  readonly factor: number;
  readonly low_freq_factor: number;
  readonly high_freq_factor: number;
  readonly original_max_position_embeddings: number;
}

/**
 * What GGUF's tensor `rope_freqs` holds: by how much each rotary frequency is divided. Short wavelengths stay, long
 * ones are stretched by `factor`, those between are interpolated.
 */
export function llama3FrequencyFactors(
  scaling: Llama3Scaling,
  headWidth: number,
  theta: number,
): Float32Array {
  const {
    factor,
    low_freq_factor: low,
    high_freq_factor: high,
    original_max_position_embeddings: context,
  } = scaling;
  return Float32Array.from({ length: headWidth / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * theta ** ((2 * i) / headWidth);
    if (wavelength < context / high) return 1;
    if (wavelength > context / low) return factor;
    const smooth = (context / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

/** Released models differ in these only (Llama 3.1, 3.2, 3.3 and their fine-tunes). */
const RELEASED = { low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };

/** The scaling whose factors these are, or undefined if no released model has it. */
export function recogniseLlama3Scaling(
  factors: Float32Array,
  headWidth: number,
  theta: number,
): Llama3Scaling | undefined {
  const scaling = { factor: factors.reduce((a, b) => Math.max(a, b), 0), ...RELEASED };
  const expected = llama3FrequencyFactors(scaling, headWidth, theta);
  const close = (value: number, i: number) => Math.abs(value - factors[i]!) <= 1e-4 * value;
  return factors.length === expected.length && expected.every(close) ? scaling : undefined;
}
