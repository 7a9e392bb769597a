import { commonFields } from './common.ts';
import type { Gpt2Config, GptNeoXConfig } from './contract.ts';
import type { ConfigFields } from './fields.ts';
import { readRotary } from './rotary.ts';

export function readGpt2(fields: ConfigFields, modelType: string): Gpt2Config {
  const width = fields.size(fields.has('n_embd') ? 'n_embd' : 'hidden_size');
  const heads = fields.size(fields.has('n_head') ? 'n_head' : 'num_attention_heads');
  const layers = fields.size(fields.has('n_layer') ? 'n_layer' : 'num_hidden_layers');
  const scaled = fields.flag('scale_attn_weights', true);
  const byLayer = fields.flag('scale_attn_by_inverse_layer_idx', false);
  fields.refuseUnless('add_cross_attention', false);
  if (width % heads !== 0) fields.problem(`n_embd (${width}) is not a multiple of n_head (${heads})`);
  const headWidth = width / heads;
  // reorder_and_upcast_attn asks for a softmax in fp32, which the attention kernels always do.
  fields.flag('reorder_and_upcast_attn', false);
  return {
    ...commonFields(fields, modelType, { bos: 50_256, eos: 50_256 }),
    family: 'gpt2',
    width,
    layers,
    heads,
    kvHeads: heads,
    headWidth,
    maxPositions: fields.size(fields.has('n_positions') ? 'n_positions' : 'max_position_embeddings', 1024),
    learnedPositions: true,
    intermediateWidth: fields.size('n_inner', 4 * width, 4 * width),
    normEpsilon: fields.number('layer_norm_epsilon', 1e-5),
    tiedEmbeddings: fields.flag('tie_word_embeddings', true),
    layerWindows: Array<undefined>(layers).fill(undefined),
    activation: fields.activation('activation_function', 'gelu_new'),
    attentionScales: Array.from(
      { length: layers },
      (_, layer) => (scaled ? headWidth ** -0.5 : 1) / (byLayer ? layer + 1 : 1),
    ),
  };
}

export function readGptNeoX(fields: ConfigFields, modelType: string): GptNeoXConfig {
  const width = fields.size('hidden_size');
  const heads = fields.size('num_attention_heads');
  const layers = fields.size('num_hidden_layers');
  const maxPositions = fields.size('max_position_embeddings', 2048);
  if (width % heads !== 0)
    fields.problem(`hidden_size (${width}) is not a multiple of num_attention_heads (${heads})`);
  const headWidth = width / heads;
  return {
    ...commonFields(fields, modelType, { bos: 0, eos: 2 }),
    family: 'gpt_neox',
    width,
    layers,
    heads,
    kvHeads: heads,
    headWidth,
    maxPositions,
    learnedPositions: false,
    intermediateWidth: fields.size('intermediate_size'),
    normEpsilon: fields.number('layer_norm_eps', 1e-5),
    tiedEmbeddings: fields.flag('tie_word_embeddings', false),
    layerWindows: Array<undefined>(layers).fill(undefined),
    activation: fields.activation('hidden_act', 'gelu'),
    rotary: readRotary(fields, {
      headWidth,
      maxPositions,
      theta: 10_000,
      partial: fields.number('rotary_pct', 0.25),
    }),
    attentionBias: fields.flag('attention_bias', true),
    parallelResidual: fields.flag('use_parallel_residual', true),
  };
}
