import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { z } from 'zod';
import {
  describeDropped,
  explainRecipe,
  type FlagValue,
  type RecipeKind,
  resolveRecipe,
  type SftRecipe,
  type TrainRecipe,
  writtenRecipe,
} from '../config/index.ts';
import { setMatmulPrecision, setThreads } from '../engine/index.ts';
import type { LoopResult, TrainOptions } from '../train/index.ts';
import type { TrainFlags } from './commands/train.ts';
import type { CliContext } from './context.ts';
import { Interrupted } from './errors.ts';
import { asInterrupted } from './interrupt.ts';
import { type Prompts, writeRunReport } from './run-report.ts';
import { shellWord } from './shell.ts';
import { findRecipe, TrainWatcher, trainOptions } from './training.ts';

/** What differs between preference tuning and SFT as commands. */
export interface Training<Recipe extends TrainRecipe | SftRecipe> {
  readonly kind: RecipeKind<z.ZodType<Recipe>>;
  readonly name: string;
  /** The command that goes on with an interrupted run. Default: this one, with the run's recipe. */
  readonly again?: string;
  /** The method in a few words, for the report's head. */
  describe(recipe: Recipe): string;
  train(recipe: Recipe, options: TrainOptions): Promise<LoopResult>;
}

/** Resolves a recipe, trains by it and writes the report; the whole of `train` and `sft`. */
export async function runRecipe<Recipe extends TrainRecipe | SftRecipe>(
  context: CliContext,
  recipeArgument: string | undefined,
  flags: TrainFlags,
  training: Training<Recipe>,
): Promise<void> {
  const file = await findRecipe(recipeArgument);
  const { set = [] } = flags;
  const resolved = resolveRecipe(training.kind, { file, set, flags: flagValues(flags, file) });
  if (flags.explain === true) {
    const { recipe, dropped } = resolved;
    if (context.json) context.emit({ event: 'recipe', recipe: writtenRecipe(recipe), dropped });
    else context.print(explainRecipe(resolved));
    return;
  }
  const { recipe } = resolved;
  for (const one of resolved.dropped) context.note(describeDropped(one));
  if (recipe.threads !== undefined) setThreads(recipe.threads);
  setMatmulPrecision(recipe.matmul_precision ?? 'highest');
  const watcher = new TrainWatcher(context);
  const interrupt = context.interruptible(
    'Finishing this step and saving a checkpoint; press Ctrl-C again to stop at once.',
  );
  let result: LoopResult;
  try {
    result = await training.train(recipe, {
      ...(await trainOptions(context, recipe)),
      observer: watcher.observe,
      signal: interrupt.signal,
      resume: flags.resume === true,
      overwrite: flags.overwrite === true,
    });
  } catch (error) {
    // The reference pass stops by throwing; what it scored so far is kept.
    throw asInterrupted(error, interrupt.signal, `Interrupted. ${goOn(training, recipe.output)}`);
  } finally {
    interrupt.release();
    await watcher.finish();
  }
  if (result.status === 'interrupted') {
    const { step, totalSteps } = result;
    throw new Interrupted(
      `Interrupted after step ${step} of ${totalSteps}. ${goOn(training, recipe.output)}`,
    );
  }
  const numbers = await writeRunReport(recipe.output, {
    title: `${modelName(recipe.model)} under ${training.describe(recipe)}`,
    subtitle: `${result.totalSteps} updates on ${recipe.data}`,
    finished: true,
    prompts: await promptsOf(context, recipe),
  });
  context.note('');
  for (const sentence of numbers.verdict) context.print(sentence);
  context.note(`model   ${join(recipe.output, 'model')}`);
  context.note(`report  ${join(recipe.output, 'report.html')}`);
  context.emit({ event: 'done', output: recipe.output, ...numbers });
}

function flagValues(flags: TrainFlags, file: string | undefined): FlagValue[] {
  const isPlaceGiven = flags.output !== undefined || flags.set?.some((one) => /^\s*output\s*=/.test(one));
  return [
    ...(flags.resume === true && isPlaceGiven !== true
      ? [{ flag: '--resume', path: ['output'], value: runOfRecipe(file) }]
      : []),
    { flag: '--model', path: ['model'], value: flags.model },
    { flag: '--data', path: ['data'], value: flags.data },
    { flag: '--eval-data', path: ['eval_data'], value: flags.evalData },
    { flag: '--objective', path: ['objective', 'name'], value: flags.objective },
    { flag: '--output', path: ['output'], value: flags.output },
  ];
}

/** The directory of the run that a recipe was written by: that run is meant, wherever it was moved to. */
function runOfRecipe(file: string | undefined): string | undefined {
  if (file === undefined || basename(file) !== 'recipe.yaml') return undefined;
  const directory = dirname(file);
  return existsSync(join(directory, 'provenance.json')) ? directory : undefined;
}

function goOn({ name, again }: Pick<Training<never>, 'name' | 'again'>, output: string): string {
  const byRecipe = `mallows ${name} ${shellWord(join(output, 'recipe.yaml'))} --resume`;
  return `Go on with: ${again ?? byRecipe}`;
}

/** A model's name without the folders that lead to it. */
function modelName(spec: string): string {
  return (
    spec
      .split('/')
      .filter((part) => part !== '' && part !== 'model')
      .at(-1) ?? spec
  );
}

/** The training prompts by id. Reading the file again is cheap beside training on it. */
async function promptsOf(context: CliContext, recipe: TrainRecipe | SftRecipe): Promise<Prompts> {
  if (!('dispersion' in recipe)) return new Map();
  const { loadPairs } = await import('../data/index.ts');
  const { reading } = await trainOptions(context, recipe);
  const { pairs } = await loadPairs(recipe.data, reading);
  return new Map(pairs.map(({ id, prompt }) => [id, prompt]));
}
