import type { Generator } from '../../engine/index.ts';
import type { SequenceClassifier } from '../../models/index.ts';
import { linearsOf } from '../../models/linears.ts';
import type { Linear } from '../../nn/linear.ts';
import { attachLora } from '../../nn/lora.ts';
import type { Parameter } from '../../nn/parameter.ts';
import { DEFAULT_LORA_RANK, defaultLoraAlpha } from '../../train/options.ts';
import type { ScorerOptions } from './options.ts';

/** What is trained of a scoring model, in a fixed order, and the linear maps that got an adapter for it. */
export interface TrainedParts {
  readonly parameters: readonly Parameter[];
  readonly adapted: readonly Linear[];
}

/** Attaches adapters where they are asked for, and chooses what is trained. */
export function trainedParts(
  model: SequenceClassifier,
  { lora, trainedLayers = model.layers.length }: Pick<ScorerOptions, 'lora' | 'trainedLayers'>,
  generator: Generator,
): TrainedParts {
  const layers = model.layers.slice(Math.max(0, model.layers.length - trainedLayers));
  if (lora !== undefined) {
    const { rank = DEFAULT_LORA_RANK, alpha = defaultLoraAlpha(rank), targetModules = 'all-linear' } = lora;
    const adapted = attachLora(linearsOf({ layers }), { rank, alpha, targetModules, generator });
    const adapters = adapted.flatMap(({ adapter }) => [adapter!.a, adapter!.b]);
    return { parameters: [...adapters, model.score.weight], adapted };
  }
  const all = [...model.parameters.values()];
  if (layers.length === model.layers.length) return { parameters: all, adapted: [] };
  const upper = new Set([
    ...layers.flatMap(({ parameters }) => parameters),
    ...model.finalNormParameters,
    model.score.weight,
  ]);
  return { parameters: all.filter((parameter) => upper.has(parameter)), adapted: [] };
}
