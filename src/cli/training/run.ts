import { existsSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { z } from 'zod';
import {
  describeDropped,
  explainRecipe,
  type FlagValue,
  findRecipe,
  type RecipeKind,
  readingOf,
  resolveRecipe,
  type SftRecipe,
  type TrainRecipe,
  writtenRecipe,
} from '../../config/index.ts';
import { setMatmulPrecision, setThreads } from '../../engine/index.ts';
import { RUN_FILES, RunReader } from '../../runs/index.ts';
import type { LoopResult, TrainOptions } from '../../train/index.ts';
import type { CliContext } from '../context.ts';
import { hubData } from '../model.ts';
import type { Columns } from '../options.ts';
import { shellWord } from '../shell.ts';
import { type Prompts, writeRunReport } from './report.ts';
import { watched } from './watched.ts';

/** Flags that training commands share with each other and with the recipe. */
export interface TrainFlags {
  readonly set?: readonly string[];
  readonly model?: string;
  readonly data?: string;
  readonly evalData?: string;
  readonly column?: Columns;
  readonly objective?: string;
  readonly output?: string;
  readonly resume?: boolean;
  readonly overwrite?: boolean;
  readonly explain?: boolean;
  readonly schema?: boolean;
}

/** What differs between preference tuning and SFT as commands. */
export interface Training<Recipe extends TrainRecipe | SftRecipe, Options extends TrainOptions> {
  readonly kind: RecipeKind<z.ZodType<Recipe>>;
  readonly name: string;
  /** The command that goes on with an interrupted run. Default: this one, with the run's recipe. */
  readonly again?: string;
  /** The method in a few words, for the report's head. */
  describe(recipe: Recipe): string;
  options(recipe: Recipe): Options;
  train(options: Options): Promise<LoopResult>;
}

/** Resolves a recipe, trains by it and writes the report; the whole of `train` and `sft`. */
export async function runRecipe<Recipe extends TrainRecipe | SftRecipe, Options extends TrainOptions>(
  context: CliContext,
  recipeArgument: string | undefined,
  flags: TrainFlags,
  training: Training<Recipe, Options>,
): Promise<void> {
  const file = findRecipe(recipeArgument);
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
  const result = await watched(context, goOn(training, recipe.output), async (watch) =>
    training.train({
      ...training.options(recipe),
      reading: await readingHere(context, recipe),
      ...watch,
      resume: flags.resume === true,
      overwrite: flags.overwrite === true,
    }),
  );
  const numbers = await writeRunReport(recipe.output, {
    title: `${modelName(recipe.model)} under ${training.describe(recipe)}`,
    subtitle: `${result.totalSteps} updates on ${recipe.data}`,
    finished: true,
    prompts: await promptsOf(context, recipe),
  });
  context.note('');
  for (const sentence of numbers.verdict) context.print(sentence);
  const run = new RunReader(recipe.output);
  context.note(`model   ${run.modelPath}`);
  context.note(`report  ${run.file('report')}`);
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
    ...Object.entries(flags.column ?? {}).map(([name, column]) => ({
      flag: '--column',
      path: ['columns', name],
      value: column,
    })),
    { flag: '--objective', path: ['objective', 'name'], value: flags.objective },
    { flag: '--output', path: ['output'], value: flags.output },
  ];
}

/** The directory of the run that a recipe was written by: that run is meant, wherever it was moved to. */
function runOfRecipe(file: string | undefined): string | undefined {
  if (file === undefined || basename(file) !== RUN_FILES.recipe) return undefined;
  const directory = dirname(file);
  return existsSync(new RunReader(directory).file('provenance')) ? directory : undefined;
}

/** The command that goes on with a run. */
function goOn({ name, again }: Pick<Training<never, never>, 'name' | 'again'>, output: string): string {
  return again ?? `mallows ${name} ${shellWord(new RunReader(output).file('recipe'))} --resume`;
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
  const { loadPairs } = await import('../../data/index.ts');
  const { examples } = await loadPairs(recipe.data, await readingHere(context, recipe));
  return new Map(examples.map(({ id, prompt }) => [id, prompt]));
}

/** How a recipe's data are read, telling on stderr what the hub does. */
async function readingHere(context: CliContext, recipe: TrainRecipe | SftRecipe) {
  return { ...readingOf(recipe), hub: await hubData(context) };
}
