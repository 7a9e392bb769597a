import { ops, type Tensor } from '../engine/index.ts';
import { gatedMaps } from '../nn/activations.ts';
import type { Linear } from '../nn/linear.ts';
import { rmsNorm } from '../nn/norms.ts';
import type { Parameter } from '../nn/parameter.ts';
import { applyRotary } from '../nn/rotary.ts';
import { rowsAt } from '../nn/rows.ts';
import type { LlamaConfig } from './config.ts';
import type { ForwardContext, Layer } from './contract.ts';
import type { Family } from './family.ts';
import type { ParameterSource } from './parameter-source.ts';

/** Llama 2 and 3, SmolLM2, TinyLlama, Mistral, Qwen2 and Qwen3. */
export const llamaFamily: Family<LlamaConfig> = {
  prefix: 'model.',
  headName: 'lm_head',
  aliases: {},
  ignorable: [/\.rotary_emb\.inv_freq$/],
  build(config, source) {
    const embedding = source.parameter(
      'model.embed_tokens.weight',
      [config.vocabularySize, config.width],
      'normal',
    );
    const layers = Array.from({ length: config.layers }, (_, index) => new LlamaLayer(config, index, source));
    const norm = source.parameter('model.norm.weight', [config.width], 'ones');
    return {
      layers,
      finalNorm: (hidden) => rmsNorm(hidden, norm.value, config.normEpsilon),
      finalNormParameters: [norm],
      tokenEmbedding: embedding,
      rotary: config.rotary,
    };
  },
};

class LlamaLayer implements Layer {
  readonly linears: ReadonlyMap<string, Linear>;
  readonly #config: LlamaConfig;
  readonly #index: number;
  readonly #inputNorm: Parameter;
  readonly #q: Linear;
  readonly #k: Linear;
  readonly #v: Linear;
  readonly #qNorm: Parameter | undefined;
  readonly #kNorm: Parameter | undefined;
  readonly #output: Linear;
  readonly #postAttentionNorm: Parameter;
  readonly #gate: Linear;
  readonly #up: Linear;
  readonly #down: Linear;

  constructor(config: LlamaConfig, index: number, source: ParameterSource) {
    const { width, heads, kvHeads, headWidth, intermediateWidth, biases } = config;
    const name = `model.layers.${index}`;
    const norm = (suffix: string, size: number) =>
      source.parameter(`${name}.${suffix}.weight`, [size], 'ones');
    const linear = (suffix: string, from: number, to: number, bias: boolean) =>
      source.linear(`${name}.${suffix}`, { in: from, out: to }, { bias });
    this.#config = config;
    this.#index = index;
    this.#inputNorm = norm('input_layernorm', width);
    this.#q = linear('self_attn.q_proj', width, heads * headWidth, biases.qkv);
    this.#k = linear('self_attn.k_proj', width, kvHeads * headWidth, biases.qkv);
    this.#v = linear('self_attn.v_proj', width, kvHeads * headWidth, biases.qkv);
    this.#qNorm = config.headNorms ? norm('self_attn.q_norm', headWidth) : undefined;
    this.#kNorm = config.headNorms ? norm('self_attn.k_norm', headWidth) : undefined;
    this.#output = linear('self_attn.o_proj', heads * headWidth, width, biases.output);
    this.#postAttentionNorm = norm('post_attention_layernorm', width);
    this.#gate = linear('mlp.gate_proj', width, intermediateWidth, biases.mlp);
    this.#up = linear('mlp.up_proj', width, intermediateWidth, biases.mlp);
    this.#down = linear('mlp.down_proj', intermediateWidth, width, biases.mlp);
    const linears = [this.#q, this.#k, this.#v, this.#output, this.#gate, this.#up, this.#down];
    this.linears = new Map(linears.map((map) => [map.name, map]));
  }

  get parameters(): readonly Parameter[] {
    const norms = [this.#inputNorm, this.#qNorm, this.#kNorm, this.#postAttentionNorm];
    const maps = [...this.linears.values()].flatMap((linear) => linear.parameters);
    return [...norms.filter((norm) => norm !== undefined), ...maps];
  }

  forward(hidden: Tensor, context: ForwardContext, rows?: Tensor): Tensor {
    const { normEpsilon } = this.#config;
    const attended = ops.add(
      rowsAt(hidden, rows),
      this.#attend(rmsNorm(hidden, this.#inputNorm.value, normEpsilon), context, rows),
    );
    return ops.add(
      attended,
      this.#feedForward(rmsNorm(attended, this.#postAttentionNorm.value, normEpsilon)),
    );
  }

  /** `x [T, width]` → `[T, width]`, or `[C, width]` at the rows asked for. */
  #attend(x: Tensor, context: ForwardContext, rows: Tensor | undefined): Tensor {
    const { heads, kvHeads, headWidth, layerWindows } = this.#config;
    const query = this.#rotated(this.#q.forward(x), heads, this.#qNorm, context);
    const key = this.#rotated(this.#k.forward(x), kvHeads, this.#kNorm, context);
    const value = ops.view(this.#v.forward(x), [-1, kvHeads, headWidth]);
    const window = layerWindows[this.#index];
    const mixed = context.attention.attend(query, key, value, {
      layer: this.#index,
      scale: headWidth ** -0.5,
      ...(window === undefined ? {} : { window }),
    });
    return this.#output.forward(rowsAt(ops.reshape(mixed, [-1, heads * headWidth]), rows));
  }

  /** `projected [T, heads · d]` → `[T, heads, d]`, normed per head where the model does so, then rotated. */
  #rotated(projected: Tensor, heads: number, norm: Parameter | undefined, context: ForwardContext): Tensor {
    const perHead = ops.view(projected, [-1, heads, this.#config.headWidth]);
    const normed = norm === undefined ? perHead : rmsNorm(perHead, norm.value, this.#config.normEpsilon);
    return applyRotary(normed, context.rotary!);
  }

  #feedForward(x: Tensor): Tensor {
    const { activation } = this.#config;
    return this.#down.forward(gatedMaps(activation, this.#gate, this.#up, x));
  }
}
