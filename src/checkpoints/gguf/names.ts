import { ModelError } from '../../errors.ts';

/** llama.cpp's name of an architecture. Mistral has none of its own: it is a `llama`. */
export type GgufArchitecture = LlamaLike | 'gpt2' | 'gptneox';

/** Those of Llama's layer. */
export type LlamaLike = 'llama' | 'qwen2' | 'qwen3' | 'smollm3' | 'olmo2' | 'granite' | 'gemma3';

/** How a weight differs in the two files. All but one are permutations. */
export type Layout =
  /** Rows of each query head are in rotary pairs (GGUF), or in halves (Hugging Face). */
  | 'rotary-query'
  | 'rotary-key'
  /** `[in, out]` in Hugging Face's GPT-2, `[out, in]` in GGUF. */
  | 'transposed'
  /** 1 + the weight in GGUF: Gemma's norms multiply by that. */
  | 'plus-one'
  /** Query, key, value of each head together (Hugging Face), or all queries, all keys, all values (GGUF). */
  | 'interleaved-qkv';

export interface TensorName {
  readonly gguf: string;
  readonly huggingFace: string;
  readonly layout?: Layout;
}

/** A linear map or a norm: the names without `.weight` and `.bias`. `{i}` stands for the layer. */
interface NameRule {
  readonly gguf: string;
  readonly huggingFace: string;
  readonly layout?: Layout;
}

const LLAMA_LIKE: readonly NameRule[] = [
  { gguf: 'token_embd', huggingFace: 'model.embed_tokens' },
  { gguf: 'blk.{i}.attn_norm', huggingFace: 'model.layers.{i}.input_layernorm' },
  { gguf: 'blk.{i}.attn_q', huggingFace: 'model.layers.{i}.self_attn.q_proj' },
  { gguf: 'blk.{i}.attn_k', huggingFace: 'model.layers.{i}.self_attn.k_proj' },
  { gguf: 'blk.{i}.attn_v', huggingFace: 'model.layers.{i}.self_attn.v_proj' },
  { gguf: 'blk.{i}.attn_output', huggingFace: 'model.layers.{i}.self_attn.o_proj' },
  { gguf: 'blk.{i}.ffn_norm', huggingFace: 'model.layers.{i}.post_attention_layernorm' },
  { gguf: 'blk.{i}.ffn_gate', huggingFace: 'model.layers.{i}.mlp.gate_proj' },
  { gguf: 'blk.{i}.ffn_up', huggingFace: 'model.layers.{i}.mlp.up_proj' },
  { gguf: 'blk.{i}.ffn_down', huggingFace: 'model.layers.{i}.mlp.down_proj' },
  { gguf: 'output_norm', huggingFace: 'model.norm' },
  { gguf: 'output', huggingFace: 'lm_head' },
];

const LLAMA: readonly NameRule[] = LLAMA_LIKE.map((rule) => {
  if (rule.gguf === 'blk.{i}.attn_q') return { ...rule, layout: 'rotary-query' };
  if (rule.gguf === 'blk.{i}.attn_k') return { ...rule, layout: 'rotary-key' };
  return rule;
});

const QWEN3: readonly NameRule[] = [
  ...LLAMA_LIKE,
  { gguf: 'blk.{i}.attn_q_norm', huggingFace: 'model.layers.{i}.self_attn.q_norm' },
  { gguf: 'blk.{i}.attn_k_norm', huggingFace: 'model.layers.{i}.self_attn.k_norm' },
];

const BLOCK_NORMS: ReadonlySet<string> = new Set(['blk.{i}.attn_norm', 'blk.{i}.ffn_norm']);

const OLMO2: readonly NameRule[] = [
  ...QWEN3.filter(({ gguf }) => !BLOCK_NORMS.has(gguf)),
  { gguf: 'blk.{i}.post_attention_norm', huggingFace: 'model.layers.{i}.post_attention_layernorm' },
  { gguf: 'blk.{i}.post_ffw_norm', huggingFace: 'model.layers.{i}.post_feedforward_layernorm' },
];

const GEMMA3: readonly NameRule[] = [
  ...OLMO2,
  { gguf: 'blk.{i}.attn_norm', huggingFace: 'model.layers.{i}.input_layernorm' },
  { gguf: 'blk.{i}.ffn_norm', huggingFace: 'model.layers.{i}.pre_feedforward_layernorm' },
].map((rule): NameRule => (rule.gguf.endsWith('_norm') ? { ...rule, layout: 'plus-one' } : rule));

const GPT2: readonly NameRule[] = [
  { gguf: 'token_embd', huggingFace: 'transformer.wte' },
  { gguf: 'position_embd', huggingFace: 'transformer.wpe' },
  { gguf: 'blk.{i}.attn_norm', huggingFace: 'transformer.h.{i}.ln_1' },
  { gguf: 'blk.{i}.attn_qkv', huggingFace: 'transformer.h.{i}.attn.c_attn', layout: 'transposed' },
  { gguf: 'blk.{i}.attn_output', huggingFace: 'transformer.h.{i}.attn.c_proj', layout: 'transposed' },
  { gguf: 'blk.{i}.ffn_norm', huggingFace: 'transformer.h.{i}.ln_2' },
  { gguf: 'blk.{i}.ffn_up', huggingFace: 'transformer.h.{i}.mlp.c_fc', layout: 'transposed' },
  { gguf: 'blk.{i}.ffn_down', huggingFace: 'transformer.h.{i}.mlp.c_proj', layout: 'transposed' },
  { gguf: 'output_norm', huggingFace: 'transformer.ln_f' },
  { gguf: 'output', huggingFace: 'lm_head' },
];

const GPT_NEOX: readonly NameRule[] = [
  { gguf: 'token_embd', huggingFace: 'gpt_neox.embed_in' },
  { gguf: 'blk.{i}.attn_norm', huggingFace: 'gpt_neox.layers.{i}.input_layernorm' },
  {
    gguf: 'blk.{i}.attn_qkv',
    huggingFace: 'gpt_neox.layers.{i}.attention.query_key_value',
    layout: 'interleaved-qkv',
  },
  { gguf: 'blk.{i}.attn_output', huggingFace: 'gpt_neox.layers.{i}.attention.dense' },
  { gguf: 'blk.{i}.ffn_norm', huggingFace: 'gpt_neox.layers.{i}.post_attention_layernorm' },
  { gguf: 'blk.{i}.ffn_up', huggingFace: 'gpt_neox.layers.{i}.mlp.dense_h_to_4h' },
  { gguf: 'blk.{i}.ffn_down', huggingFace: 'gpt_neox.layers.{i}.mlp.dense_4h_to_h' },
  { gguf: 'output_norm', huggingFace: 'gpt_neox.final_layer_norm' },
  { gguf: 'output', huggingFace: 'embed_out' },
];

const RULES: Readonly<Record<GgufArchitecture, readonly NameRule[]>> = {
  llama: LLAMA,
  qwen2: LLAMA_LIKE,
  qwen3: QWEN3,
  smollm3: LLAMA,
  olmo2: OLMO2,
  granite: LLAMA,
  gemma3: GEMMA3,
  gpt2: GPT2,
  gptneox: GPT_NEOX,
};

/** Tensors of a GGUF file that hold no weight of the model. */
export const DERIVED_TENSORS: ReadonlySet<string> = new Set(['rope_freqs.weight']);

/** Both names of a tensor, looked up by its name in one of the files. Throws for a name that the family does not have. */
export function tensorName(
  architecture: GgufArchitecture,
  side: 'gguf' | 'huggingFace',
  name: string,
): TensorName {
  const [, stem, suffix] = /^(.*)\.(weight|bias)$/.exec(name) ?? [];
  if (stem !== undefined && suffix !== undefined) {
    const layer = /\.(\d+)\./.exec(stem)?.[1];
    const pattern = layer === undefined ? stem : stem.replace(`.${layer}.`, '.{i}.');
    const rule = RULES[architecture].find((candidate) => candidate[side] === pattern);
    if (rule !== undefined) {
      const fill = (template: string) => `${template.replace('{i}', layer ?? '')}.${suffix}`;
      const layout = suffix === 'bias' && rule.layout === 'transposed' ? undefined : rule.layout;
      return {
        gguf: fill(rule.gguf),
        huggingFace: fill(rule.huggingFace),
        ...(layout === undefined ? {} : { layout }),
      };
    }
  }
  throw new ModelError('gguf-unsupported', `The architecture ${architecture} has no tensor called ${name}.`, {
    hint: 'The model uses an extension of the architecture that is not supported.',
  });
}
