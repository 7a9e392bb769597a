import { type DType, ops, type Tensor, tensor, tidy } from '../engine/index.ts';
import { gatedMaps } from '../nn/activations.ts';
import type { Linear } from '../nn/linear.ts';
import { rmsNorm } from '../nn/norms.ts';
import type { Parameter } from '../nn/parameter.ts';
import { applyRotary } from '../nn/rotary.ts';
import { rowsAt } from '../nn/rows.ts';
import type { LlamaConfig } from './config/contract.ts';
import type { ForwardContext, Layer } from './contract.ts';
import type { Family } from './family.ts';
import type { Initial, ParameterSource } from './parameter-source.ts';

/** Llama 2 and 3, SmolLM2 and 3, TinyLlama, Mistral, Qwen2 and 3, OLMo 2, Granite 3 and Gemma 3. */
export const llamaFamily: Family<LlamaConfig> = {
  prefix: 'model.',
  headName: 'lm_head',
  aliases: {},
  ignorable: [/\.rotary_emb\.inv_freq$/],
  build(config, source) {
    const { width, normEpsilon, normStyle, embeddingScale, roundsEmbeddingScale, logitDivisor } = config;
    const embedding = source.parameter('model.embed_tokens.weight', [config.vocabularySize, width], 'normal');
    const layers = Array.from({ length: config.layers }, (_, index) => new LlamaLayer(config, index, source));
    const norm = source.parameter('model.norm.weight', [width], neutral(config));
    return {
      layers,
      finalNorm: (hidden) => rmsNorm(hidden, norm.value, normEpsilon, normStyle),
      finalNormParameters: [norm],
      tokenEmbedding: embedding,
      ...(embeddingScale !== 1 && {
        embeddingScale: (dtype) => (roundsEmbeddingScale ? rounded(embeddingScale, dtype) : embeddingScale),
      }),
      ...(logitDivisor === 1 ? {} : { logitDivisor }),
      rotary: config.layerRotary,
    };
  },
};

function rounded(value: number, dtype: DType): number {
  return tidy(() => ops.to(tensor([value], { dtype: 'float64' }), dtype).item());
}

/** A fresh norm's weight, with which it only norms. */
function neutral({ normStyle }: LlamaConfig): Initial {
  return normStyle === 'offset' ? 'zeros' : 'ones';
}

/** Hugging Face's names of the norms around a layer's two blocks. */
const BLOCK_NORMS = {
  inputs: { attention: ['input_layernorm'], feedForward: ['post_attention_layernorm'] },
  outputs: {
    attention: [undefined, 'post_attention_layernorm'],
    feedForward: [undefined, 'post_feedforward_layernorm'],
  },
  both: {
    attention: ['input_layernorm', 'post_attention_layernorm'],
    feedForward: ['pre_feedforward_layernorm', 'post_feedforward_layernorm'],
  },
} as const satisfies Record<
  LlamaConfig['blockNorms'],
  Record<'attention' | 'feedForward', readonly [before?: string | undefined, after?: string]>
>;

/** Of what a block reads and of what it gives. */
interface NormsAround {
  readonly before: Parameter | undefined;
  readonly after: Parameter | undefined;
}

class LlamaLayer implements Layer {
  readonly linears: ReadonlyMap<string, Linear>;
  readonly #config: LlamaConfig;
  readonly #index: number;
  readonly #attentionNorms: NormsAround;
  readonly #q: Linear;
  readonly #k: Linear;
  readonly #v: Linear;
  readonly #qNorm: Parameter | undefined;
  readonly #kNorm: Parameter | undefined;
  readonly #output: Linear;
  readonly #feedForwardNorms: NormsAround;
  readonly #gate: Linear;
  readonly #up: Linear;
  readonly #down: Linear;

  constructor(config: LlamaConfig, index: number, source: ParameterSource) {
    const { width, heads, kvHeads, headWidth, intermediateWidth, biases, blockNorms } = config;
    const name = `model.layers.${index}`;
    const norm = (suffix: string, size: number) =>
      source.parameter(`${name}.${suffix}.weight`, [size], neutral(config));
    const normsAround = ([before, after]: readonly [before?: string | undefined, after?: string]) => ({
      before: before === undefined ? undefined : norm(before, width),
      after: after === undefined ? undefined : norm(after, width),
    });
    const headNorm = (suffix: string, count: number) =>
      config.headNorms === 'none'
        ? undefined
        : norm(`self_attn.${suffix}`, config.headNorms === 'each' ? headWidth : count * headWidth);
    const linear = (suffix: string, from: number, to: number, bias: boolean) =>
      source.linear(`${name}.${suffix}`, { in: from, out: to }, { bias });
    this.#config = config;
    this.#index = index;
    this.#attentionNorms = normsAround(BLOCK_NORMS[blockNorms].attention);
    this.#q = linear('self_attn.q_proj', width, heads * headWidth, biases.qkv);
    this.#k = linear('self_attn.k_proj', width, kvHeads * headWidth, biases.qkv);
    this.#v = linear('self_attn.v_proj', width, kvHeads * headWidth, biases.qkv);
    this.#qNorm = headNorm('q_norm', heads);
    this.#kNorm = headNorm('k_norm', kvHeads);
    this.#output = linear('self_attn.o_proj', heads * headWidth, width, biases.output);
    this.#feedForwardNorms = normsAround(BLOCK_NORMS[blockNorms].feedForward);
    this.#gate = linear('mlp.gate_proj', width, intermediateWidth, biases.mlp);
    this.#up = linear('mlp.up_proj', width, intermediateWidth, biases.mlp);
    this.#down = linear('mlp.down_proj', intermediateWidth, width, biases.mlp);
    const linears = [this.#q, this.#k, this.#v, this.#output, this.#gate, this.#up, this.#down];
    this.linears = new Map(linears.map((map) => [map.name, map]));
  }

  get parameters(): readonly Parameter[] {
    const [attention, feedForward] = [this.#attentionNorms, this.#feedForwardNorms];
    const norms = [
      ...[attention.before, this.#qNorm, this.#kNorm, attention.after],
      ...[feedForward.before, feedForward.after],
    ];
    const maps = [...this.linears.values()].flatMap((linear) => linear.parameters);
    return [...norms.filter((norm) => norm !== undefined), ...maps];
  }

  forward(hidden: Tensor, context: ForwardContext, rows?: Tensor): Tensor {
    const [attention, feedForward] = [this.#attentionNorms, this.#feedForwardNorms];
    const mixed = this.#attend(this.#norm(hidden, attention.before), context, rows);
    const attended = this.#add(rowsAt(hidden, rows), this.#norm(mixed, attention.after));
    const fed = this.#feedForward(this.#norm(attended, feedForward.before));
    return this.#add(attended, this.#norm(fed, feedForward.after));
  }

  #norm(x: Tensor, norm: Parameter | undefined): Tensor {
    const { normEpsilon, normStyle } = this.#config;
    return norm === undefined ? x : rmsNorm(x, norm.value, normEpsilon, normStyle);
  }

  #add(residual: Tensor, block: Tensor): Tensor {
    const { residualScale } = this.#config;
    return ops.add(residual, block, residualScale === 1 ? {} : { alpha: residualScale });
  }

  /** `x [T, width]` → `[T, width]`, or `[C, width]` at the rows asked for. */
  #attend(x: Tensor, context: ForwardContext, rows: Tensor | undefined): Tensor {
    const { heads, kvHeads, headWidth, layerWindows, attentionScale: scale } = this.#config;
    const query = this.#rotated(this.#q.forward(x), heads, this.#qNorm, context);
    const key = this.#rotated(this.#k.forward(x), kvHeads, this.#kNorm, context);
    const value = ops.view(this.#v.forward(x), [-1, kvHeads, headWidth]);
    const window = layerWindows[this.#index];
    const mixed = context.attention.attend(query, key, value, {
      layer: this.#index,
      scale,
      ...(window === undefined ? {} : { window }),
    });
    return this.#output.forward(rowsAt(ops.reshape(mixed, [-1, heads * headWidth]), rows));
  }

  /** `projected [T, heads · d]` → `[T, heads, d]`, normed and rotated where the model does so. */
  #rotated(projected: Tensor, heads: number, norm: Parameter | undefined, context: ForwardContext): Tensor {
    const { headNorms, headWidth } = this.#config;
    const perHead = (x: Tensor) => ops.view(x, [-1, heads, headWidth]);
    const normed =
      headNorms === 'together' ? perHead(this.#norm(projected, norm)) : this.#norm(perHead(projected), norm);
    const tables = context.rotary![this.#index];
    return tables === undefined ? normed : applyRotary(normed, tables);
  }

  #feedForward(x: Tensor): Tensor {
    const { activation } = this.#config;
    return this.#down.forward(gatedMaps(activation, this.#gate, this.#up, x));
  }
}
