import type { LoadPairsOptions } from '../data/index.ts';
import type { Device } from '../engine/index.ts';
import type { PreferenceOptions, SftOptions, TrainOptions } from '../train/index.ts';
import { writtenRecipe } from './objective.ts';
import { readingOptions } from './reading.ts';
import type { SftRecipe, TrainRecipe } from './schema.ts';

/** `trainPreference`'s options from a recipe. */
export function preferenceOptions(recipe: TrainRecipe): PreferenceOptions {
  const { floor, shuffle, source } = recipe.dispersion;
  return {
    ...trainOptions(recipe),
    ...dataOf(recipe),
    objective: recipe.objective,
    dispersion: { source, shuffle, ...(floor !== undefined && { floor }) },
  };
}

/** `trainSft`'s options from a recipe. */
export function sftOptions(recipe: SftRecipe): SftOptions {
  return { ...trainOptions(recipe), ...dataOf(recipe) };
}

/** How a recipe's data are read. */
export function readingOf({ format, strict, columns }: TrainRecipe | SftRecipe): LoadPairsOptions {
  // `auto` leaves the choice to the tokenizer: a model without a chat template reads text.
  return readingOptions(format, { strict, columns });
}

function dataOf({ data, eval_data: evalData }: TrainRecipe | SftRecipe) {
  return { data, ...(evalData !== undefined && { evalData }) };
}

/** What both have in common. Undefined values are left out: they mean the library's own default. */
function trainOptions(recipe: TrainRecipe | SftRecipe): TrainOptions {
  const { optimizer, schedule, batch, lora, checkpoint, eval: evaluation } = recipe;
  const { name, lr, max_grad_norm: maxGradNorm, weight_decay: weightDecay, ...coefficients } = optimizer;
  return {
    model: recipe.model,
    output: recipe.output,
    reading: readingOf(recipe),
    ...(recipe.max_length !== undefined && { maxLength: recipe.max_length }),
    evalFraction: recipe.eval_fraction,
    ...(recipe.steps !== undefined && { steps: recipe.steps }),
    ...(recipe.epochs !== undefined && { epochs: recipe.epochs }),
    batch: {
      accumulate: batch.accumulate,
      bucket: batch.bucket,
      ...('group_prompts' in batch && { groupPrompts: batch.group_prompts }),
      ...(batch.pairs !== undefined && { pairs: batch.pairs }),
      ...(batch.tokens !== undefined && { tokens: batch.tokens }),
    },
    optimizer: { name, weightDecay, ...coefficients } as NonNullable<TrainOptions['optimizer']>,
    ...(lr !== undefined && { learningRate: lr }),
    schedule: {
      name: schedule.name,
      ...(schedule.warmup_steps !== undefined && { warmupSteps: schedule.warmup_steps }),
      ...(schedule.warmup_ratio !== undefined && { warmupRatio: schedule.warmup_ratio }),
    },
    maxGradNorm,
    ...(lora !== undefined && {
      lora: {
        rank: lora.rank,
        merge: lora.merge,
        ...(lora.alpha !== undefined && { alpha: lora.alpha }),
        ...(lora.target_modules !== undefined && { targetModules: lora.target_modules }),
      },
    }),
    dtype: recipe.dtype,
    device: recipe.device as Device | 'auto',
    recompute: recipe.recompute,
    seed: recipe.seed,
    evaluation: {
      every: evaluation.every,
      samples: evaluation.samples,
      maxNewTokens: evaluation.max_new_tokens,
      ...(evaluation.max_pairs !== undefined && { maxPairs: evaluation.max_pairs }),
      ...('kl_samples' in evaluation && { klSamples: evaluation.kl_samples as number }),
    },
    checkpoint: {
      every: checkpoint.every,
      keep: checkpoint.keep,
      ...(checkpoint.minutes !== undefined && { minutes: checkpoint.minutes }),
    },
    recipe: writtenRecipe(recipe),
  };
}
