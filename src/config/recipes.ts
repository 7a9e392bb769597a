import { UsageError } from '../errors.ts';
import { createObjective, resolveObjectiveOptions, updateSizeProblems } from '../objectives/index.ts';
import type { Problem, RecipeKind } from './resolve.ts';
import { type SftRecipe, sftSchema, type TrainRecipe, trainSchema } from './schema.ts';

const DEFAULT_PAIRS = 8;

/** Defaults that depend on other keys; everything that a run reads is then in the recipe. */
function complete<R extends TrainRecipe | SftRecipe>(recipe: R, learningRate: number): R {
  const { optimizer, batch } = recipe;
  return {
    ...recipe,
    ...(recipe.steps === undefined && recipe.epochs === undefined ? { epochs: 1 } : {}),
    optimizer: { ...optimizer, lr: optimizer.lr ?? (recipe.lora === undefined ? learningRate : 1e-4) },
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

function check(recipe: TrainRecipe | SftRecipe): Problem[] {
  const problems: Problem[] = [];
  const { optimizer, batch } = recipe;
  const mine: readonly string[] = OPTIMIZER_KEYS[optimizer.name];
  for (const key of new Set(Object.values(OPTIMIZER_KEYS).flat())) {
    if (optimizer[key] !== undefined && !mine.includes(key)) {
      problems.push({
        path: ['optimizer', key],
        message: `${optimizer.name} has no ${key}; it has ${mine.join(', ')}`,
      });
    }
  }
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
  check: (recipe) => [...check(recipe), ...checkObjective(recipe)],
  complete: (recipe) => ({ ...complete(recipe, 1e-6), objective: resolveObjectiveOptions(recipe.objective) }),
};

export const sftRecipe: RecipeKind<typeof sftSchema> = {
  schema: sftSchema,
  exclusive: EXCLUSIVE,
  check,
  complete: (recipe) => complete(recipe, 2e-5),
};

/** The registry knows which coefficients an objective has, and the objective which updates it can work with. */
function checkObjective({ objective, batch }: TrainRecipe): Problem[] {
  try {
    const problems = updateSizeProblems(createObjective(objective), batch);
    return problems.map(({ key, message }) => ({ path: ['batch', key], message }));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return [{ path: ['objective'], message: [error.message, error.hint].filter(Boolean).join(' ') }];
  }
}
