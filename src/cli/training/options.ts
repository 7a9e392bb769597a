import { type SftRecipe, type TrainRecipe, writtenRecipe } from '../../config/index.ts';
import type { LoadPairsOptions } from '../../data/index.ts';
import type { Device } from '../../engine/index.ts';
import type { TrainOptions } from '../../train/index.ts';
import type { CliContext } from '../context.ts';
import { readingOptions } from '../data.ts';
import { hubData } from '../model.ts';

/** The library's options from a recipe. Undefined values are left out: they mean the library's own default. */
export async function trainOptions(
  context: CliContext,
  recipe: TrainRecipe | SftRecipe,
): Promise<Omit<TrainOptions, 'observer' | 'signal' | 'resume' | 'overwrite'>> {
  const { optimizer, schedule, batch, lora, checkpoint, eval: evaluation } = recipe;
  const { name, lr, max_grad_norm: maxGradNorm, weight_decay: weightDecay, ...coefficients } = optimizer;
  return {
    model: recipe.model,
    output: recipe.output,
    reading: await readingOf(context, recipe),
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
    checkpoint,
    recipe: writtenRecipe(recipe),
  };
}

/** How a recipe's data are read. */
export async function readingOf(
  context: CliContext,
  { format, strict, columns }: TrainRecipe | SftRecipe,
): Promise<LoadPairsOptions> {
  // `auto` leaves the choice to the tokenizer: a model without a chat template reads text.
  return { ...readingOptions(format, { strict, columns }), hub: await hubData(context) };
}
