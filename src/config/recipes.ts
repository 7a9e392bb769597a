import { resolveObjectiveOptions } from '../objectives/index.ts';
import { DEFAULT_LEARNING_RATES, DEFAULT_PAIRS, defaultLoraAlpha } from '../train/options.ts';
import { checkObjective, checkRemovedOptions, objectiveOptions } from './objective.ts';
import type { Problem, RecipeKind } from './resolve.ts';
import { type SftRecipe, sftSchema, type TrainRecipe, trainSchema } from './schema.ts';

/** Defaults that depend on other keys; everything that a run reads is then in the recipe. */
function complete<R extends TrainRecipe | SftRecipe>(recipe: R, learningRate: number): R {
  const { optimizer, batch, lora } = recipe;
  return {
    ...recipe,
    ...(recipe.steps === undefined && recipe.epochs === undefined ? { epochs: 1 } : {}),
    optimizer: {
      ...optimizer,
      lr: optimizer.lr ?? (lora === undefined ? learningRate : DEFAULT_LEARNING_RATES.lora),
    },
    ...(lora && { lora: { ...lora, alpha: lora.alpha ?? defaultLoraAlpha(lora.rank) } }),
    batch:
      batch.pairs === undefined && batch.tokens === undefined ? { pairs: DEFAULT_PAIRS, ...batch } : batch,
  };
}

/** Coefficients that only some optimisers have. */
const OPTIMIZER_KEYS = {
  adamw: ['betas', 'epsilon'],
  rmsprop: ['epsilon', 'alpha', 'momentum', 'centered'],
  sgd: ['momentum', 'dampening', 'nesterov'],
} as const;

const EXCLUSIVE = [
  [['steps'], ['epochs']],
  [
    ['batch', 'pairs'],
    ['batch', 'tokens'],
  ],
  [
    ['schedule', 'warmup_steps'],
    ['schedule', 'warmup_ratio'],
  ],
];

/** Held-out rows belong to the data that they were held out of. */
const COMPANIONS = [{ of: ['data'], key: ['eval_data'] }];

function checkOptimizer({ optimizer }: TrainRecipe | SftRecipe): Problem[] {
  const problems: Problem[] = [];
  const mine: readonly string[] = OPTIMIZER_KEYS[optimizer.name];
  for (const key of new Set(Object.values(OPTIMIZER_KEYS).flat())) {
    if (optimizer[key] !== undefined && !mine.includes(key)) {
      problems.push({
        path: ['optimizer', key],
        message: `${optimizer.name} has no ${key}; it has ${mine.join(', ')}`,
      });
    }
  }
  if (optimizer.name === 'sgd' && optimizer.nesterov === true) {
    const { momentum = 0, dampening = 0 } = optimizer;
    if (momentum === 0) {
      problems.push({ path: ['optimizer', 'nesterov'], message: 'needs optimizer.momentum above 0' });
    }
    if (dampening !== 0) {
      problems.push({
        path: ['optimizer', 'dampening'],
        message: `must be 0 with optimizer.nesterov, received ${dampening}`,
      });
    }
  }
  return problems;
}

function check(recipe: TrainRecipe | SftRecipe): Problem[] {
  const { batch } = recipe;
  const problems = checkOptimizer(recipe);
  if ('group_prompts' in batch && batch.group_prompts && batch.bucket) {
    problems.push({
      path: ['batch', 'group_prompts'],
      message: 'excludes batch.bucket; set one of them to false',
    });
  }
  if (recipe.eval_data === undefined && recipe.eval_fraction === 0 && recipe.eval.every > 0) {
    problems.push({
      path: ['eval', 'every'],
      message: 'there are no held-out rows: set eval_data or eval_fraction',
    });
  }
  return problems;
}

export const trainRecipe: RecipeKind<typeof trainSchema> = {
  schema: trainSchema,
  exclusive: EXCLUSIVE,
  companions: COMPANIONS,
  check: (recipe, removed) => [...check(recipe), ...checkObjective(recipe), ...checkRemovedOptions(removed)],
  complete: (recipe) => ({
    ...complete(recipe, DEFAULT_LEARNING_RATES.preference),
    objective: resolveObjectiveOptions(objectiveOptions(recipe.objective)),
  }),
};

export const sftRecipe: RecipeKind<typeof sftSchema> = {
  schema: sftSchema,
  exclusive: EXCLUSIVE,
  companions: COMPANIONS,
  check,
  complete: (recipe) => complete(recipe, DEFAULT_LEARNING_RATES.sft),
};
