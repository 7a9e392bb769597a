import type { Device, DType, Tensor } from '../engine/index.ts';
import type { Linear } from '../nn/linear.ts';
import type { Parameter } from '../nn/parameter.ts';
import type { RotaryTables } from '../nn/rotary.ts';

/**
 * A transformer without its head, as the trainer sees it: `embed`, a list of `layers`, and a final norm. The caller
 * owns the walk over the layers, so that each can be its own autograd segment (see docs/architecture.md, "A step is a
 * walk down and up the layers").
 *
 * All hidden states are packed: one row of tokens, `hidden [tokens, width]`, no batch dimension and no padding. Which
 * token sees which is the business of `AttentionPlan` alone.
 */
export interface Trunk {
  readonly config: ModelConfig;
  /** Compute dtype of every parameter. Whoever casts the parameters (a trainer with fp32 masters) sets it as well. */
  dtype: DType;
  readonly device: Device;
  /** Every parameter under its Hugging Face name, head included, tied weights once. Order is the reading order. */
  readonly parameters: ReadonlyMap<string, Parameter>;
  readonly layers: readonly Layer[];
  /** `tokens [T] int64`, `positions [T] int64` → `[T, width]`. */
  embed(tokens: Tensor, positions: Tensor): Tensor;
  /** What `embed` is the sum of. */
  lookups(tokens: Tensor, positions: Tensor): readonly Lookup[];
  /** Final norm: `hidden [T, width]` → `[T, width]`. */
  finalNorm(hidden: Tensor): Tensor;
  readonly finalNormParameters: readonly Parameter[];
  /** Prepares what all layers share for one row: rotary tables for `positions`, and the plan. */
  context(positions: Tensor, attention: AttentionPlan): ForwardContext;
  dispose(): void;
}

/** Rows of a table: an embedding, whose gradient touches these rows alone. */
export interface Lookup {
  readonly table: Parameter;
  /** `[T]` int64. */
  readonly rows: Tensor;
  /** Multiplies the rows; absent: 1. */
  readonly scale?: number;
}

/** A trunk that predicts the next token. */
export interface CausalLM extends Trunk {
  /** The output projection `[vocabulary, width]` (the embedding itself when tied). */
  readonly head: Linear;
}

/** A trunk that scores a whole sequence, at its last token: a reward model (one label) or a classifier. */
export interface SequenceClassifier extends Trunk {
  /** `[labels, width]`, no bias. */
  readonly score: Linear;
}

export interface Layer {
  /** Every parameter the layer reads, adapters included. */
  readonly parameters: readonly Parameter[];
  /** The layer's linear maps by Hugging Face name (without `.weight`), where LoRA attaches. */
  readonly linears: ReadonlyMap<string, Linear>;
  /**
   * `hidden [T, width]` → `[T, width]`. Pure: keeps nothing, so a recomputed call gives the same bits.
   *
   * With `rows [C]` int64 → `[C, width]`: the output at these positions, repeated ones included. What follows attention
   * is computed for them alone, which is all that a last layer needs.
   */
  forward(hidden: Tensor, context: ForwardContext, rows?: Tensor): Tensor;
}

/** Shared by all layers in one pass over one row. Created inside the caller's `tidy`. */
export interface ForwardContext {
  readonly attention: AttentionPlan;
  /** Rotary tables of each layer, undefined where it turns nothing; absent for learned positions. */
  readonly rotary?: readonly (RotaryTables | undefined)[];
}

export interface AttentionCall {
  /** Index of the layer, for plans that keep a key/value cache. */
  readonly layer: number;
  /** Multiplies q·k before the softmax. */
  readonly scale: number;
  /** Sliding window in tokens: a query at position p sees keys at positions > p − window. Absent: all. */
  readonly window?: number;
}

/**
 * The only place that knows which token may attend to which.
 * `query [T, heads, d]`, `key`/`value [T, kvHeads, d]` (rotary already applied) → `[T, heads, d]`.
 */
export interface AttentionPlan {
  attend(query: Tensor, key: Tensor, value: Tensor, call: AttentionCall): Tensor;
}

/**
 * A packed row is a forest of segments. A segment attends causally to itself and fully to the segments on its path to
 * the root; its positions continue its parent's. A pair is a prompt segment with two children, a best-of-n prompt has
 * n, a plain sequence is a root alone. Segments lie in the row in order, parents before children, without gaps.
 */
export interface Segment {
  /** First token's index in the row. */
  readonly start: number;
  readonly length: number;
  /** Index of the parent in the segment table. */
  readonly parent?: number;
}

export type ModelFamily = 'llama' | 'gpt2' | 'gpt_neox';

/** `config.json`, read and checked: every option that changes the arithmetic is here or was refused by name. */
export interface ModelConfig {
  readonly family: ModelFamily;
  /** Hugging Face `model_type`: llama, gpt2, gpt_neox, … */
  readonly modelType: string;
  readonly vocabularySize: number;
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headWidth: number;
  readonly intermediateWidth: number;
  readonly maxPositions: number;
  /** Positions are a learned table of `maxPositions` rows, so longer sequences are an error. */
  readonly learnedPositions: boolean;
  /** Sliding window of each layer in tokens; undefined where a layer sees everything. */
  readonly layerWindows: readonly (number | undefined)[];
  readonly normEpsilon: number;
  readonly tiedEmbeddings: boolean;
  readonly bosTokenId: number | undefined;
  /** All token ids that end a generation according to config.json and generation_config.json. */
  readonly eosTokenIds: readonly number[];
  readonly padTokenId: number | undefined;
  /** Standard deviation of freshly initialised matrices. */
  readonly initializerRange: number;
  /** Outputs of a sequence-classification head. */
  readonly labels: number;
  /** The file as it was read, kept so that a saved checkpoint says the same. */
  readonly raw: Readonly<Record<string, unknown>>;
}
