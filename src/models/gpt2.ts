import { ops, type Tensor } from '../engine/index.ts';
import { activation } from '../nn/activations.ts';
import type { Linear } from '../nn/linear.ts';
import { layerNorm } from '../nn/norms.ts';
import type { Parameter } from '../nn/parameter.ts';
import { rowsAt } from '../nn/rows.ts';
import type { Gpt2Config } from './config/contract.ts';
import type { ForwardContext, Layer } from './contract.ts';
import type { Family } from './family.ts';
import type { ParameterSource } from './parameter-source.ts';

/** GPT-2: learned positions, layer norms before each block, linear maps stored `[in, out]`. */
export const gpt2Family: Family<Gpt2Config> = {
  prefix: 'transformer.',
  headName: 'lm_head',
  aliases: {},
  ignorable: [/\.attn\.(masked_)?bias$/],
  build(config, source) {
    const { width, vocabularySize, maxPositions, normEpsilon } = config;
    const tokens = source.parameter('transformer.wte.weight', [vocabularySize, width], 'normal');
    const positions = source.parameter('transformer.wpe.weight', [maxPositions, width], 'normal');
    const layers = Array.from({ length: config.layers }, (_, index) => new Gpt2Layer(config, index, source));
    const gain = source.parameter('transformer.ln_f.weight', [width], 'ones');
    const shift = source.parameter('transformer.ln_f.bias', [width], 'zeros');
    return {
      layers,
      finalNorm: (hidden) => layerNorm(hidden, gain.value, shift.value, normEpsilon),
      finalNormParameters: [gain, shift],
      tokenEmbedding: tokens,
      positionEmbedding: positions,
    };
  },
};

class Gpt2Layer implements Layer {
  readonly linears: ReadonlyMap<string, Linear>;
  readonly #config: Gpt2Config;
  readonly #index: number;
  readonly #activation: (x: Tensor) => Tensor;
  readonly #norms: { readonly gain: Parameter; readonly shift: Parameter }[];
  readonly #qkv: Linear;
  readonly #output: Linear;
  readonly #up: Linear;
  readonly #down: Linear;

  constructor(config: Gpt2Config, index: number, source: ParameterSource) {
    const { width, intermediateWidth } = config;
    const name = `transformer.h.${index}`;
    const norm = (suffix: string) => ({
      gain: source.parameter(`${name}.${suffix}.weight`, [width], 'ones'),
      shift: source.parameter(`${name}.${suffix}.bias`, [width], 'zeros'),
    });
    const linear = (suffix: string, from: number, to: number, initial: 'normal' | 'residual') =>
      source.linear(`${name}.${suffix}`, { in: from, out: to }, { bias: true, layout: 'in-out', initial });
    this.#config = config;
    this.#index = index;
    this.#activation = activation(config.activation);
    const first = norm('ln_1');
    this.#qkv = linear('attn.c_attn', width, 3 * width, 'normal');
    this.#output = linear('attn.c_proj', width, width, 'residual');
    this.#norms = [first, norm('ln_2')];
    this.#up = linear('mlp.c_fc', width, intermediateWidth, 'normal');
    this.#down = linear('mlp.c_proj', intermediateWidth, width, 'residual');
    this.linears = new Map([this.#qkv, this.#output, this.#up, this.#down].map((map) => [map.name, map]));
  }

  get parameters(): readonly Parameter[] {
    const maps = [...this.linears.values()].flatMap((linear) => linear.parameters);
    return [...this.#norms.flatMap(({ gain, shift }) => [gain, shift]), ...maps];
  }

  forward(hidden: Tensor, context: ForwardContext, rows?: Tensor): Tensor {
    const attended = ops.add(this.#attend(this.#norm(0, hidden), context, rows), rowsAt(hidden, rows));
    const expanded = this.#activation(this.#up.forward(this.#norm(1, attended)));
    return ops.add(attended, this.#down.forward(expanded));
  }

  #norm(which: 0 | 1, x: Tensor): Tensor {
    const { gain, shift } = this.#norms[which]!;
    return layerNorm(x, gain.value, shift.value, this.#config.normEpsilon);
  }

  #attend(x: Tensor, context: ForwardContext, rows: Tensor | undefined): Tensor {
    const { width, heads, headWidth, attentionScales } = this.#config;
    const parts = ops.splitWithSizes(this.#qkv.forward(x), [width, width, width], 1);
    const [query, key, value] = parts.map((part) => ops.view(part, [-1, heads, headWidth]));
    const scale = attentionScales[this.#index]!;
    const mixed = context.attention.attend(query!, key!, value!, { layer: this.#index, scale });
    return this.#output.forward(rowsAt(ops.reshape(mixed, [-1, width]), rows));
  }
}
