import { ops, type Tensor } from '../engine/index.ts';
import { activation } from '../nn/activations.ts';
import type { Linear } from '../nn/linear.ts';
import { layerNorm } from '../nn/norms.ts';
import type { Parameter } from '../nn/parameter.ts';
import { applyRotary, type RotarySettings } from '../nn/rotary.ts';
import { rowsAt } from '../nn/rows.ts';
import type { GptNeoXConfig } from './config/contract.ts';
import type { ForwardContext, Layer } from './contract.ts';
import type { Family } from './family.ts';
import type { ParameterSource } from './parameter-source.ts';

/** GPT-NeoX and Pythia: rotary positions over part of each head, query/key/value interleaved by head. */
export const gptNeoXFamily: Family<GptNeoXConfig> = {
  prefix: 'gpt_neox.',
  // Released checkpoints say embed_out; transformers 5 renames it to lm_head in memory and reads both.
  headName: 'embed_out',
  aliases: { 'embed_out.weight': 'lm_head.weight' },
  ignorable: [/\.attention\.(masked_)?bias$/, /\.rotary_emb\.inv_freq$/],
  build(config, source) {
    const { width, vocabularySize, normEpsilon } = config;
    const embedding = source.parameter('gpt_neox.embed_in.weight', [vocabularySize, width], 'normal');
    const layers = Array.from(
      { length: config.layers },
      (_, index) => new GptNeoXLayer(config, index, source),
    );
    const gain = source.parameter('gpt_neox.final_layer_norm.weight', [width], 'ones');
    const shift = source.parameter('gpt_neox.final_layer_norm.bias', [width], 'zeros');
    return {
      layers,
      finalNorm: (hidden) => layerNorm(hidden, gain.value, shift.value, normEpsilon),
      finalNormParameters: [gain, shift],
      tokenEmbedding: embedding,
      rotary: Array<RotarySettings>(config.layers).fill(config.rotary),
    };
  },
};

class GptNeoXLayer implements Layer {
  readonly linears: ReadonlyMap<string, Linear>;
  readonly #config: GptNeoXConfig;
  readonly #index: number;
  readonly #activation: (x: Tensor) => Tensor;
  readonly #norms: { readonly gain: Parameter; readonly shift: Parameter }[];
  readonly #qkv: Linear;
  readonly #output: Linear;
  readonly #up: Linear;
  readonly #down: Linear;

  constructor(config: GptNeoXConfig, index: number, source: ParameterSource) {
    const { width, intermediateWidth, attentionBias } = config;
    const name = `gpt_neox.layers.${index}`;
    const norm = (suffix: string) => ({
      gain: source.parameter(`${name}.${suffix}.weight`, [width], 'ones'),
      shift: source.parameter(`${name}.${suffix}.bias`, [width], 'zeros'),
    });
    const linear = (suffix: string, from: number, to: number, bias = true) =>
      source.linear(`${name}.${suffix}`, { in: from, out: to }, { bias });
    this.#config = config;
    this.#index = index;
    this.#activation = activation(config.activation);
    this.#norms = [norm('input_layernorm'), norm('post_attention_layernorm')];
    this.#qkv = linear('attention.query_key_value', width, 3 * width, attentionBias);
    this.#output = linear('attention.dense', width, width, attentionBias);
    this.#up = linear('mlp.dense_h_to_4h', width, intermediateWidth);
    this.#down = linear('mlp.dense_4h_to_h', intermediateWidth, width);
    this.linears = new Map([this.#qkv, this.#output, this.#up, this.#down].map((map) => [map.name, map]));
  }

  get parameters(): readonly Parameter[] {
    const maps = [...this.linears.values()].flatMap((linear) => linear.parameters);
    return [...this.#norms.flatMap(({ gain, shift }) => [gain, shift]), ...maps];
  }

  forward(hidden: Tensor, context: ForwardContext, rows?: Tensor): Tensor {
    const attended = this.#attend(this.#norm(0, hidden), context, rows);
    const passed = rowsAt(hidden, rows);
    if (this.#config.parallelResidual) {
      return ops.add(ops.add(this.#feedForward(this.#norm(1, passed)), attended), passed);
    }
    const middle = ops.add(attended, passed);
    return ops.add(this.#feedForward(this.#norm(1, middle)), middle);
  }

  #norm(which: 0 | 1, x: Tensor): Tensor {
    const { gain, shift } = this.#norms[which]!;
    return layerNorm(x, gain.value, shift.value, this.#config.normEpsilon);
  }

  #attend(x: Tensor, context: ForwardContext, rows: Tensor | undefined): Tensor {
    const { width, heads, headWidth } = this.#config;
    const perHead = ops.view(this.#qkv.forward(x), [-1, heads, 3 * headWidth]);
    const tables = context.rotary![this.#index]!;
    const [query, key, value] = ops.splitWithSizes(perHead, [headWidth, headWidth, headWidth], 2);
    const mixed = context.attention.attend(applyRotary(query!, tables), applyRotary(key!, tables), value!, {
      layer: this.#index,
      scale: headWidth ** -0.5,
    });
    return this.#output.forward(rowsAt(ops.reshape(mixed, [-1, width]), rows));
  }

  #feedForward(x: Tensor): Tensor {
    return this.#down.forward(this.#activation(this.#up.forward(x)));
  }
}
