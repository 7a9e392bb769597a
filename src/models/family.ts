import type { DType, Tensor } from '../engine/index.ts';
import type { Parameter } from '../nn/parameter.ts';
import type { RotarySettings } from '../nn/rotary.ts';
import type { Layer } from './contract.ts';
import type { ParameterSource } from './parameter-source.ts';

/** What a family file builds: everything of a `Trunk` that differs between architectures. */
export interface TrunkParts {
  readonly layers: readonly Layer[];
  finalNorm(hidden: Tensor): Tensor;
  readonly finalNormParameters: readonly Parameter[];
  /** The token embedding, which a tied head shares. */
  readonly tokenEmbedding: Parameter;
  /** Multiplies the tokens' embeddings in a model of this type. Absent: 1. */
  readonly embeddingScale?: (dtype: DType) => number;
  /** Divides a language model's logits. Absent: 1. */
  readonly logitDivisor?: number;
  /** Learned positions, added to the tokens' embeddings. */
  readonly positionEmbedding?: Parameter;
  /** One a layer; undefined where a layer turns nothing, absent for learned positions. Equal settings are one object. */
  readonly rotary?: readonly (RotarySettings | undefined)[];
}

/** One architecture: how to build its trunk, and what its checkpoints call things. */
export interface Family<Config> {
  /** Base-model prefix of every trunk parameter's name. */
  readonly prefix: string;
  /** Hugging Face name of the untied output projection, without `.weight`. */
  readonly headName: string;
  /** Other names under which files hold a weight. */
  readonly aliases: Readonly<Record<string, string>>;
  /** Buffers that old checkpoints carry and nothing reads. */
  readonly ignorable: readonly RegExp[];
  build(config: Config, source: ParameterSource): TrunkParts;
}
