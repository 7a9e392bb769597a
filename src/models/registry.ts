import { type Generator, ops, type Tensor } from '../engine/index.ts';
import { Linear } from '../nn/linear.ts';
import { rotaryTables } from '../nn/rotary.ts';
import type { SupportedConfig } from './config/contract.ts';
import type { CausalLM, SequenceClassifier, Trunk } from './contract.ts';
import type { Family, TrunkParts } from './family.ts';
import { gptNeoXFamily } from './gpt-neox.ts';
import { gpt2Family } from './gpt2.ts';
import { llamaFamily } from './llama.ts';
import {
  CheckpointParameters,
  HEAD_WEIGHT,
  type ParameterSource,
  type Placement,
  RandomParameters,
  type WeightSource,
} from './parameter-source.ts';

const FAMILIES = { llama: llamaFamily, gpt2: gpt2Family, gpt_neox: gptNeoXFamily } as const;

/**
 * Builds a causal language model from a checkpoint's weights.
 *
 * @throws ModelError `not-a-language-model` for a reward model or another classifier; `weights-mismatch` that names every
 * missing, unexpected and mis-shaped weight.
 */
export function createModel(config: SupportedConfig, weights: WeightSource, placement: Placement): CausalLM {
  const family = familyOf(config);
  const source = new CheckpointParameters(weights, placement, family);
  const model = buildCausalLM(config, source, placement);
  // A tied head is the embedding, whatever copy of it the file holds.
  source.finish(config.tiedEmbeddings ? [...family.ignorable, HEAD_WEIGHT] : family.ignorable);
  return model;
}

/** A causal language model with random weights, the same for the same generator state. */
export function initialiseModel(
  config: SupportedConfig,
  generator: Generator,
  placement: Placement,
): CausalLM {
  return buildCausalLM(config, new RandomParameters(generator, placement, config), placement);
}

/**
 * Builds a sequence classifier or reward model: the family's trunk with `score.weight [labels, width]`.
 *
 * From a language model's checkpoint, which has no score, one starts fresh if `scoreGenerator` is given; its language
 * head is then left unread.
 *
 * @throws ModelError `not-a-reward` for a language model without `scoreGenerator`; `weights-mismatch` as `createModel`.
 */
export function createClassifier(
  config: SupportedConfig,
  weights: WeightSource,
  placement: Placement,
  scoreGenerator?: Generator,
): SequenceClassifier {
  const family = familyOf(config);
  const source = new CheckpointParameters(weights, placement, family);
  const parts = familyOf(config).build(config, source);
  const fresh = scoreGenerator !== undefined && !source.has('score.weight');
  const scoreSource = fresh ? new RandomParameters(scoreGenerator, placement, config) : source;
  const score = scoreSource.linear('score', { in: config.width, out: config.labels }, { bias: false });
  source.parameters.set(score.weight.name, score.weight);
  source.finish(fresh ? [...family.ignorable, HEAD_WEIGHT] : family.ignorable);
  return { ...trunk(config, parts, source, placement), score };
}

/** A sequence classifier with random weights. */
export function initialiseClassifier(
  config: SupportedConfig,
  generator: Generator,
  placement: Placement,
): SequenceClassifier {
  const source = new RandomParameters(generator, placement, config);
  const parts = familyOf(config).build(config, source);
  const score = source.linear('score', { in: config.width, out: config.labels }, { bias: false });
  return { ...trunk(config, parts, source, placement), score };
}

function buildCausalLM(config: SupportedConfig, source: ParameterSource, placement: Placement): CausalLM {
  const family = familyOf(config);
  const parts = family.build(config, source);
  const head = config.tiedEmbeddings
    ? new Linear(family.headName, parts.tokenEmbedding)
    : source.linear(family.headName, { in: config.width, out: config.vocabularySize }, { bias: false });
  const { logitDivisor } = parts;
  if (logitDivisor === undefined) return { ...trunk(config, parts, source, placement), head };
  // On what the head reads instead of on its logits: the head is a linear map, and far wider.
  const finalNorm = (hidden: Tensor) => ops.div(parts.finalNorm(hidden), logitDivisor);
  return { ...trunk(config, { ...parts, finalNorm }, source, placement), head };
}

function trunk(
  config: SupportedConfig,
  parts: TrunkParts,
  source: ParameterSource,
  placement: Placement,
): Trunk {
  const { rotary } = parts;
  return {
    config,
    ...placement,
    parameters: source.parameters,
    layers: parts.layers,
    embed(tokens, positions) {
      const found = this.lookups(tokens, positions).map(({ table, rows, scale }) => {
        const values = ops.embedding(table.value, rows);
        return scale === undefined ? values : ops.mul(values, scale);
      });
      return found.reduce((sum, each) => ops.add(sum, each));
    },
    lookups(tokens, positions) {
      const { tokenEmbedding, positionEmbedding, embeddingScale } = parts;
      const scale = embeddingScale === undefined ? {} : { scale: embeddingScale(this.dtype) };
      const byToken = { table: tokenEmbedding, rows: tokens, ...scale };
      return positionEmbedding === undefined
        ? [byToken]
        : [byToken, { table: positionEmbedding, rows: positions }];
    },
    finalNorm: parts.finalNorm,
    finalNormParameters: parts.finalNormParameters,
    context(positions, attention) {
      if (rotary === undefined) return { attention };
      const different = [...new Set(rotary.filter((settings) => settings !== undefined))];
      const tables = new Map(
        different.map((settings) => [settings, rotaryTables(positions, settings, this.dtype)]),
      );
      return { attention, rotary: rotary.map((settings) => settings && tables.get(settings)) };
    },
    dispose() {
      for (const layer of parts.layers) for (const parameter of layer.parameters) parameter.value.dispose();
      for (const parameter of source.parameters.values()) parameter.value.dispose();
    },
  };
}

function familyOf(config: SupportedConfig): Family<SupportedConfig> {
  return FAMILIES[config.family] as Family<SupportedConfig>;
}
