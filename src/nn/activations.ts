import { hasOwnKernels, ops, type Tensor } from '../engine/index.ts';

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

/** `activation(gate) · up`, the heart of a gated feed-forward layer; on the CPU in one pass for silu. */
export function gatedUnit(name: ActivationName, gate: Tensor, up: Tensor): Tensor {
  const fused = ACTIVATIONS[name] === ops.silu && hasOwnKernels(gate);
  return fused ? ops.siluGate(gate, up) : ops.mul(activation(name)(gate), up);
}
