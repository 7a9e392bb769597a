import type { Generator } from '../../engine/index.ts';
import type { ModelConfig, SequenceClassifier } from '../../models/index.ts';
import { linearsOf } from '../../models/linears.ts';
import type { Linear } from '../../nn/linear.ts';
import { attachLora } from '../../nn/lora.ts';
import type { Parameter } from '../../nn/parameter.ts';
import { estimateMemory, type MemoryOptions, memoryNote } from '../../train/memory.ts';
import { DEFAULT_LORA_RANK, defaultLoraAlpha } from '../../train/options.ts';
import { BatchPlan, type PlanOptions } from '../../train/plan.ts';
import type { LoopTask } from '../../train/task.ts';
import type { ScorerOptions } from './train-scorer.ts';

/** What is trained of a scoring model, in a fixed order, and the linear maps that got an adapter for it. */
export function trainedParts(
  model: SequenceClassifier,
  { lora, trainedLayers = model.layers.length }: Pick<ScorerOptions, 'lora' | 'trainedLayers'>,
  generator: Generator,
): { parameters: Parameter[]; adapted: Linear[] } {
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

/** Says beforehand what a step takes, and whether it fits. */
export function scorerMemory(
  config: ModelConfig,
  task: LoopTask,
  trained: readonly Parameter[],
  plan: PlanOptions,
  options: Pick<MemoryOptions, 'dtype' | 'optimizer' | 'recompute'>,
): ReturnType<typeof memoryNote> {
  const withoutHead = { ...config, tiedEmbeddings: true };
  const estimate = estimateMemory(withoutHead, {
    ...options,
    rowTokens: longestRow(task, plan),
    headPositions: 0,
    trainedParameters: trained.reduce((sum, { value }) => sum + value.size, 0),
    passes: plan.accumulate ?? 1,
  });
  return memoryNote(estimate);
}

/** Tokens of the longest row among the first thousand steps. */
function longestRow(task: LoopTask, options: PlanOptions): number {
  const plan = BatchPlan.of(task, options);
  const steps = Array.from({ length: Math.min(plan.totalSteps, 1000) }, (_, step) => plan.step(step));
  const rows = steps.flatMap(({ passes }) =>
    passes.map((items) => items.reduce((sum, item) => sum + task.tokens(item), 0)),
  );
  return Math.max(...rows);
}
