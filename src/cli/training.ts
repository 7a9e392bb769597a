import { type SftRecipe, type TrainRecipe, writtenRecipe } from '../config/index.ts';
import type { Device } from '../engine/index.ts';
import type { TrainEvent, TrainOptions, TrainPhase } from '../train/index.ts';
import type { CliContext } from './context.ts';
import { noteRows, readingOptions } from './data.ts';
import { hubData } from './model.ts';
import { Progress } from './progress.ts';

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
    // `auto` leaves the choice to the tokenizer: a model without a chat template reads text.
    reading: {
      ...readingOptions(recipe.format, { strict: recipe.strict, columns: recipe.columns }),
      hub: await hubData(context),
    },
    maxLength: recipe.max_length,
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
    checkpoint: { every: checkpoint.every, keep: checkpoint.keep },
    recipe: writtenRecipe(recipe),
  };
}

const PHASES: Readonly<Record<TrainPhase, string>> = {
  load: 'Loading the model',
  tokenize: 'Reading the data',
  reference: 'Reference pass',
  train: 'Training',
  save: 'Saving the model',
};

/** Shows a run's events to people, and passes them to programs. */
export class TrainWatcher {
  readonly #context: CliContext;
  #progress: Progress | undefined;
  #pending: Promise<void> = Promise.resolve();

  constructor(context: CliContext) {
    this.#context = context;
  }

  readonly observe = (event: TrainEvent): void => {
    this.#context.emit(recordOf(event));
    switch (event.type) {
      case 'phase':
        this.#finishProgress();
        this.#note(this.#context.paint.dim(PHASES[event.phase]));
        if (event.phase === 'train') this.#progress = new Progress(this.#context, { unit: 'step' });
        break;
      case 'note':
        this.#note(event.level === 'warning' ? this.#context.paint.yellow(event.message) : event.message);
        break;
      case 'data':
        this.#pending = this.#pending.then(() => noteRows(this.#context, event, (text) => this.#note(text)));
        break;
      case 'reference':
        // One pass over the training pairs, then one over the held-out ones.
        this.#progress ??= new Progress(this.#context, { unit: 'pair' });
        this.#progress.update({ done: event.done, total: event.total, fields: [] });
        if (event.done === event.total) this.#finishProgress();
        break;
      case 'step':
        this.#progress?.update({ done: event.step, total: event.totalSteps, fields: stepFields(event) });
        break;
      case 'evaluation':
        this.#note(evaluationLine(event));
        break;
      case 'checkpoint':
        this.#note(this.#context.paint.dim(`checkpoint ${event.path}`));
        break;
      case 'resume':
        this.#note(`resuming after step ${event.step} (${event.path})`);
        break;
      default:
        event satisfies never;
    }
  };

  async finish(): Promise<void> {
    this.#finishProgress();
    await this.#pending;
  }

  #note(text: string): void {
    if (this.#progress !== undefined) this.#progress.note(text);
    else this.#context.note(text);
  }

  #finishProgress(): void {
    this.#progress?.finish();
    this.#progress = undefined;
  }
}

function recordOf(event: TrainEvent): object {
  const { type, ...rest } = event;
  return { event: type, ...rest };
}

function stepFields({ metrics, timing }: Extract<TrainEvent, { type: 'step' }>): string[] {
  const field = (label: string, key: string, digits: number): string[] => {
    const value = metrics[key];
    return typeof value === 'number' ? [`${label} ${value.toFixed(digits)}`] : [];
  };
  return [
    ...field('loss', 'loss', 4),
    ...field('accuracy', 'rewards/accuracies', 2),
    ...field('margin', 'rewards/margins', 3),
    `${timing.tokensPerSecond.toFixed(0)} tokens/s`,
  ];
}

function evaluationLine({ step, metrics }: Extract<TrainEvent, { type: 'evaluation' }>): string {
  const part = (label: string, key: string, digits: number): string[] => {
    const value = metrics[`eval_${key}`];
    if (typeof value !== 'number') return [];
    const [low, high] = [metrics[`eval_${key}/low`], metrics[`eval_${key}/high`]];
    const range =
      typeof low === 'number' && typeof high === 'number'
        ? ` (${low.toFixed(digits)} to ${high.toFixed(digits)})`
        : '';
    return [`${label} ${value.toFixed(digits)}${range}`];
  };
  return [
    `held out after step ${step}:`,
    ...part('loss', 'loss', 4),
    ...part('accuracy', 'rewards/accuracies', 3),
    ...part('margin', 'rewards/margins', 3),
    ...part('KL', 'kl/on_policy', 3),
  ].join('  ');
}

/** Where a recipe argument is found: a path, or the name of a recipe that comes with the package. */
export async function findRecipe(argument: string | undefined): Promise<string | undefined> {
  if (argument === undefined) return undefined;
  const { existsSync } = await import('node:fs');
  if (existsSync(argument) || /[/\\.]/.test(argument)) return argument;
  const { fileURLToPath } = await import('node:url');
  const { relative } = await import('node:path');
  const packaged = fileURLToPath(new URL(`../../recipes/${argument}.yaml`, import.meta.url));
  return existsSync(packaged) ? relative(process.cwd(), packaged) : argument;
}
