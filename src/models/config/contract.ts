import type { ActivationName } from '../../nn/activations.ts';
import type { NormStyle } from '../../nn/norms.ts';
import type { RotarySettings } from '../../nn/rotary.ts';
import type { ModelConfig } from '../contract.ts';

/** Llama and what followed it: one architecture, and a set of options for each `model_type`. */
export interface LlamaConfig extends ModelConfig {
  readonly family: 'llama';
  readonly activation: ActivationName;
  /** Of layers that see everything; what each layer does is in `layerRotary`. */
  readonly rotary: RotarySettings;
  /** One a layer; undefined where positions are not encoded at all (SmolLM3). Equal settings are one object. */
  readonly layerRotary: readonly (RotarySettings | undefined)[];
  /** Biases of q, k and v; of the attention's output; of the three maps of the feed-forward block. */
  readonly biases: { readonly qkv: boolean; readonly output: boolean; readonly mlp: boolean };
  /** Where a layer norms: what its two blocks read (Llama), what they give (OLMo 2), or both (Gemma 3). */
  readonly blockNorms: 'inputs' | 'outputs' | 'both';
  readonly normStyle: NormStyle;
  /** RMS norm of queries and keys: none, of each head (Qwen3, Gemma 3), of all heads together (OLMo 2). */
  readonly headNorms: 'none' | 'each' | 'together';
  /** Multiplies q·k before the softmax. */
  readonly attentionScale: number;
  /** Multiplies the tokens' embeddings. */
  readonly embeddingScale: number;
  /** Whether that factor is rounded to the model's type first, as transformers does for Gemma and not for Granite. */
  readonly roundsEmbeddingScale: boolean;
  /** Multiplies what a block adds to the residual stream. */
  readonly residualScale: number;
  /** Divides the logits. */
  readonly logitDivisor: number;
}

export interface Gpt2Config extends ModelConfig {
  readonly family: 'gpt2';
  readonly activation: ActivationName;
  /** Multiplies q·k before the softmax, one value a layer. */
  readonly attentionScales: readonly number[];
}

export interface GptNeoXConfig extends ModelConfig {
  readonly family: 'gpt_neox';
  readonly activation: ActivationName;
  readonly rotary: RotarySettings;
  readonly attentionBias: boolean;
  /** Attention and feed-forward both read the layer's input, instead of one after the other. */
  readonly parallelResidual: boolean;
}

export type SupportedConfig = LlamaConfig | Gpt2Config | GptNeoXConfig;
