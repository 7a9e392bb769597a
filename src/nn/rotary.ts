import { arange, type Device, type DType, hasOwnKernels, ops, type Tensor, tensor } from '../engine/index.ts';

/** How the frequencies are stretched for longer contexts, with the fields of Hugging Face's `rope_scaling`. */
export type RotaryScaling =
  | { readonly type: 'default' }
  | { readonly type: 'linear'; readonly factor: number }
  | { readonly type: 'dynamic'; readonly factor: number; readonly maxPositions: number }
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalMaxPositions: number;
    };

export interface RotarySettings {
  readonly theta: number;
  /** How many of a head's leading dimensions are rotated; even. */
  readonly width: number;
  readonly scaling: RotaryScaling;
}

/**
 * `cos [T, 1, width]` and `sin [T, 1, width]`. The first half of `sin` is negated, so that with h = width / 2
 * `rotated = x · cos + roll(x, h) · sin`: three operations instead of the seven of slices, negation and concatenation.
 */
export interface RotaryTables {
  readonly cos: Tensor;
  readonly sin: Tensor;
}

/**
 * Tables for `positions [T] int64`, computed in fp32 and then cast, as transformers does.
 *
 * The `dynamic` scaling depends on the longest sequence: as in transformers it is taken over everything that is
 * computed together, here one row. Rows for scoring leave out a completion's last token, so past the trained length
 * they stretch by one token less than a padded batch does.
 */
export function rotaryTables(positions: Tensor, settings: RotarySettings, dtype: DType): RotaryTables {
  const frequencies = rotaryFrequencies(positions, settings);
  const angles = ops.mul(ops.unsqueeze(ops.to(positions, 'float32'), 1), frequencies);
  const cos = ops.cos(angles);
  const sin = ops.sin(angles);
  const table = (left: Tensor, right: Tensor) => ops.to(ops.unsqueeze(ops.cat([left, right], 1), 1), dtype);
  return { cos: table(cos, cos), sin: table(ops.neg(sin), sin) };
}

/** Rotates the leading `width` dimensions of `x [T, heads, d]`; the others pass through. */
export function applyRotary(x: Tensor, { cos, sin }: RotaryTables): Tensor {
  if (hasOwnKernels(x)) return ops.fusedRotate(x, cos, sin);
  const width = cos.shape[2]!;
  const headWidth = x.shape[2]!;
  if (width === headWidth) return rotate(x, cos, sin);
  const [turning, passing] = ops.splitWithSizes(x, [width, headWidth - width], 2);
  return ops.cat([rotate(turning!, cos, sin), passing!], 2);
}

function rotate(x: Tensor, cos: Tensor, sin: Tensor): Tensor {
  const swapped = ops.roll(x, [cos.shape[2]! / 2], [2]);
  return ops.addcmul(ops.mul(x, cos), swapped, sin);
}

function rotaryFrequencies(positions: Tensor, settings: RotarySettings): Tensor {
  const { scaling, width } = settings;
  const { device } = positions;
  switch (scaling.type) {
    case 'default':
      return inverseFrequencies(settings.theta, width, device);
    case 'linear':
      return ops.div(inverseFrequencies(settings.theta, width, device), scaling.factor);
    case 'dynamic': {
      const length = Math.max(ops.max(positions).item() + 1, scaling.maxPositions);
      const stretch = (scaling.factor * length) / scaling.maxPositions - (scaling.factor - 1);
      return inverseFrequencies(settings.theta * stretch ** (width / (width - 2)), width, device);
    }
    case 'llama3':
      return llama3Frequencies(inverseFrequencies(settings.theta, width, 'cpu'), scaling, device);
    default:
      return scaling satisfies never;
  }
}

/** θ^(−2i/width), fp32 throughout because a last-bit difference grows with the position. */
function inverseFrequencies(theta: number, width: number, device: Device): Tensor {
  const exponents = ops.div(ops.mul(arange(width / 2, { dtype: 'float32', device }), 2), width);
  return ops.reciprocal(ops.pow(theta, exponents));
}

/** Llama 3.1: long wavelengths are divided by `factor`, short ones kept, those between interpolated; fp32 steps. */
function llama3Frequencies(
  base: Tensor,
  scaling: Extract<RotaryScaling, { type: 'llama3' }>,
  device: Device,
): Tensor {
  const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalMaxPositions } = scaling;
  const round = Math.fround;
  const scaled = Float32Array.from(base.toFloat64(), (frequency) => {
    // Scalars divided by tensors are reciprocal-then-multiply in PyTorch; every step rounds to fp32.
    const wavelength = round(round(1 / frequency) * round(2 * Math.PI));
    if (wavelength > originalMaxPositions / low) return frequency / factor;
    if (wavelength < originalMaxPositions / high) return frequency;
    const smooth = round(round(round(round(1 / wavelength) * originalMaxPositions) - low) / (high - low));
    return round(round(round(1 - smooth) * frequency) / factor) + round(smooth * frequency);
  });
  return tensor(scaled, { device });
}
