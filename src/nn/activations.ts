import { hasOwnKernels, ops, type Tensor } from '../engine/index.ts';
import type { Linear } from './linear.ts';

/**
 * Activations by their Hugging Face `hidden_act` name. `gelu_new`, `gelu_fast` and `gelu_pytorch_tanh` are three
 * spellings of the tanh approximation, equal up to rounding, so one fused kernel serves all of them.
 */
const ACTIVATIONS = {
  silu: ops.silu,
  swish: ops.silu,
  relu: ops.relu,
  gelu: (x: Tensor) => ops.gelu(x),
  gelu_new: tanhGelu,
  gelu_fast: tanhGelu,
  gelu_pytorch_tanh: tanhGelu,
  quick_gelu: (x: Tensor) => ops.mul(x, ops.sigmoid(ops.mul(x, 1.702))),
} as const satisfies Record<string, (x: Tensor) => Tensor>;

export type ActivationName = keyof typeof ACTIVATIONS;

export const ACTIVATION_NAMES = Object.keys(ACTIVATIONS) as readonly ActivationName[];

/** The elementwise function for a name that `config.json` uses. */
export function activation(name: ActivationName): (x: Tensor) => Tensor {
  return ACTIVATIONS[name];
}

function tanhGelu(x: Tensor): Tensor {
  return ops.gelu(x, { approximate: 'tanh' });
}

/**
 * `activation(gate(x)) · up(x)`, the heart of a gated feed-forward layer. On the CPU silu and the tanh approximation of gelu are
 * one pass over both, and silu with packed weights is a part of their products.
 */
export function gatedMaps(name: ActivationName, gate: Linear, up: Linear, x: Tensor): Tensor {
  const wanted = activation(name);
  const own = hasOwnKernels(x);
  if (own && wanted === tanhGelu) return ops.geluGate(gate.forward(x), up.forward(x));
  if (!own || wanted !== ops.silu) return ops.mul(wanted(gate.forward(x)), up.forward(x));
  const [gateWeight, upWeight] = [gate.packedAlone, up.packedAlone];
  return gateWeight !== undefined && upWeight !== undefined
    ? ops.packedSiluGate(x, gateWeight, upWeight, gate.outFeatures)
    : ops.siluGate(gate.forward(x), up.forward(x));
}
