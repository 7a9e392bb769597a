import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import { readingOptions } from '../../config/reading.ts';
import type { Device } from '../../engine/index.ts';
import { UsageError } from '../../errors.ts';
import type { AnswerToScore, RewardOptions } from '../../evaluate/index.ts';
import { defined } from '../../train/defined.ts';
import { DEFAULT_CHECKPOINT_MINUTES, DEFAULT_LEARNING_RATES, defaultLoraAlpha } from '../../train/options.ts';
import { command, commandGroup, decimal, positiveInteger, wholeNumber } from '../command.ts';
import type { CliContext } from '../context.ts';
import { noteRows } from '../data.ts';
import { hubData, hubOptions, placementOf } from '../model.ts';
import {
  type Columns,
  columnOption,
  computeTypeOption,
  DEVICE_HELP,
  dtypeOption,
  MODEL_HELP,
  maxLengthOption,
  threadsOption,
} from '../options.ts';
import { Progress } from '../progress.ts';
import { shellWord } from '../shell.ts';
import { watched } from '../training/watched.ts';
import { requireWritable } from '../writable.ts';

export function rewardCommand(context: CliContext): CommandUnknownOpts {
  return commandGroup(
    'reward',
    'train a Bradley–Terry reward model, and score answers with one',
    [
      'mallows reward train --model smollm2-135m --data pairs.jsonl --output runs/reward',
      'mallows reward score --model runs/reward/model --answers answers.jsonl --output rewards.jsonl',
    ],
    [trainCommand(context), scoreCommand(context)],
  );
}

function trainCommand(context: CliContext) {
  return command(context, 'train', 'train a reward model on preference pairs', [
    'mallows reward train --model smollm2-135m --data pairs.jsonl --output runs/reward',
    'mallows reward train --model runs/reward/model --data more.jsonl --epochs 2 --output runs/reward-2',
    'mallows reward train --model M --data pairs.jsonl --lora 16 --output runs/reward',
  ])
    .requiredOption('--model <model>', MODEL_HELP)
    .requiredOption('--data <data>', 'preference pairs')
    .requiredOption('--output <dir>', 'run directory; the model goes into its model/')
    .option('--eval-data <data>', 'held-out pairs (default: a tenth of the data)')
    .option('--format <name>', 'auto, chat, text, or a layout', 'auto')
    .addOption(columnOption())
    .option('--epochs <n>', 'passes over the data (default: 1)', positiveInteger)
    .option('--steps <n>', 'updates, instead of epochs', positiveInteger)
    .option('--batch <pairs>', 'pairs an update', positiveInteger, 8)
    .option('--accumulate <n>', 'passes an update', positiveInteger, 1)
    .option('--lr <rate>', 'peak learning rate (default: 1e-5, with adapters 1e-4)', decimal)
    .option('--lora <rank>', 'train adapters of this rank and the score, merged at the end', positiveInteger)
    .option('--lora-alpha <n>', 'scale of the adapters (default: twice the rank)', positiveInteger)
    .option('--lora-targets <names>', 'such as q_proj,v_proj (default: every linear map)')
    .addOption(maxLengthOption())
    .option('--centering <weight>', 'keeps rewards about zero', decimal, 0.01)
    .option('--eval-every <n>', 'steps between evaluations; 0: start and end', wholeNumber, 0)
    .option(
      '--checkpoint-every <n>',
      `steps between checkpoints; 0: one every ${DEFAULT_CHECKPOINT_MINUTES} minutes instead`,
      wholeNumber,
      0,
    )
    .addOption(computeTypeOption())
    .option('--device <device>', DEVICE_HELP, 'auto')
    .addOption(threadsOption())
    .option('--recompute', 'less memory, a third more time')
    .option('--seed <n>', 'of the new head and of the order of pairs', wholeNumber, 0)
    .option('--resume', 'go on with the run')
    .option('--overwrite', 'delete the run that is there')
    .action(async ({ json: _, debug: __, ...options }) => {
      const { setThreads } = await import('../../engine/index.ts');
      const { trainReward } = await import('../../evaluate/index.ts');
      if (options.threads !== undefined) setThreads(options.threads);
      const { resume, overwrite } = options;
      const { step } = await watched(context, goOn(context.argv), async (watch) => {
        const result = await trainReward({
          model: options.model,
          data: options.data,
          output: options.output,
          ...(options.evalData !== undefined && { evalData: options.evalData }),
          reading: {
            ...readingOptions(options.format, { columns: options.column }),
            hub: await hubData(context),
          },
          ...(options.epochs !== undefined && { epochs: options.epochs }),
          ...(options.steps !== undefined && { steps: options.steps }),
          batch: { pairs: options.batch, accumulate: options.accumulate },
          ...(options.lr !== undefined && { learningRate: options.lr }),
          ...loraOptions(options),
          ...(options.maxLength !== undefined && { maxLength: options.maxLength }),
          centering: options.centering,
          evaluation: { every: options.evalEvery },
          checkpoint: { every: options.checkpointEvery },
          dtype: options.dtype,
          device: options.device as Device | 'auto',
          recompute: options.recompute === true,
          seed: options.seed,
          ...(resume === true && { resume }),
          ...(overwrite === true && { overwrite }),
          recipe: rewardRecipe(options),
          ...watch,
        });
        result.model.model.dispose();
        return result;
      });
      context.emit({ event: 'done', output: options.output, step });
      context.note(`Reward model: ${options.output}/model`);
    });
}

interface RewardFlags {
  readonly model: string;
  readonly data: string;
  readonly evalData?: string;
  readonly format: string;
  readonly column?: Columns;
  readonly maxLength?: number;
  readonly epochs?: number;
  readonly steps?: number;
  readonly batch: number;
  readonly accumulate: number;
  readonly lr?: number;
  readonly lora?: number;
  readonly loraAlpha?: number;
  readonly loraTargets?: string;
  readonly centering: number;
  readonly evalEvery: number;
  readonly checkpointEvery: number;
  readonly dtype: string;
  readonly device: string;
  readonly threads?: number;
  readonly recompute?: true;
  readonly seed: number;
  readonly output: string;
}

/** What the command was told, resolved and under the keys that the recipes of `train` have. */
function rewardRecipe(flags: RewardFlags): Record<string, unknown> {
  const { lora } = loraOptions(flags);
  const { epochs = flags.steps === undefined ? 1 : undefined } = flags;
  return defined({
    model: flags.model,
    data: flags.data,
    eval_data: flags.evalData,
    format: flags.format,
    columns: flags.column,
    max_length: flags.maxLength,
    epochs,
    steps: flags.steps,
    objective: { name: 'bradley-terry', centering: flags.centering },
    optimizer: {
      name: 'adamw',
      lr: flags.lr ?? DEFAULT_LEARNING_RATES[lora === undefined ? 'scorer' : 'lora'],
    },
    batch: { pairs: flags.batch, accumulate: flags.accumulate },
    lora: lora && {
      rank: lora.rank,
      alpha: lora.alpha,
      ...(lora.targetModules && { target_modules: lora.targetModules }),
    },
    checkpoint: { every: flags.checkpointEvery },
    dtype: flags.dtype,
    device: flags.device,
    recompute: flags.recompute === true,
    threads: flags.threads,
    seed: flags.seed,
    output: flags.output,
    eval: { every: flags.evalEvery },
  });
}

/** The command that goes on with the run that this command line began. */
function goOn(argv: readonly string[]): string {
  const words = argv.filter((word) => word !== '--overwrite' && word !== '--resume').map(shellWord);
  return ['mallows', ...words, '--resume'].join(' ');
}

function loraOptions({
  lora,
  loraAlpha,
  loraTargets,
}: Pick<RewardFlags, 'lora' | 'loraAlpha' | 'loraTargets'>): Pick<RewardOptions, 'lora'> {
  if (lora === undefined) {
    if (loraAlpha === undefined && loraTargets === undefined) return {};
    throw new UsageError(
      'lora-rank-missing',
      '--lora-alpha and --lora-targets say how adapters are, but there are none.',
      {
        hint: 'Give their rank: --lora 16.',
      },
    );
  }
  return {
    lora: {
      rank: lora,
      alpha: loraAlpha ?? defaultLoraAlpha(lora),
      ...(loraTargets !== undefined && { targetModules: loraTargets.split(',').map((name) => name.trim()) }),
    },
  };
}

function scoreCommand(context: CliContext) {
  return command(context, 'score', 'score answers, or both sides of pairs, with a reward model', [
    'mallows reward score --model runs/reward/model --answers answers.jsonl --output rewards.jsonl',
    'mallows reward score --model runs/reward/model --data pairs.jsonl --output rewards.jsonl',
  ])
    .requiredOption('--model <model>', 'sequence-classification checkpoint with one label')
    .option('--answers <file>', 'answers, as `mallows generate` writes them')
    .option('--data <data>', 'instead: preference pairs')
    .option('--format <name>', 'layout of the pairs', 'auto')
    .addOption(columnOption())
    .option('--strict', 'stop at the first bad row of the pairs')
    .option(
      '--max-length <n>',
      'tokens of prompt and answer together (default: 2048, or the model’s context if shorter)',
      positiveInteger,
    )
    .addOption(dtypeOption())
    .option('--device <device>', DEVICE_HELP, 'auto')
    .addOption(threadsOption())
    .requiredOption('--output <file>', '{id, scores} a prompt, or {id, chosen, rejected, margin} a pair')
    .action(async (options) => {
      requireWritable(options.output);
      const { RewardModel } = await import('../../evaluate/index.ts');
      const { writeJsonLines } = await import('../../runs/index.ts');
      const inputs = await readInputs(context, options);
      const { maxLength } = options;
      const placement = await placementOf(options);
      const reward = await RewardModel.load(options.model, {
        ...placement,
        ...hubOptions(context),
        ...(maxLength !== undefined && { maxLength }),
      });
      const progress = new Progress(context, { unit: 'answer' });
      try {
        const scores = await reward.score(inputs.answers, {
          onProgress: (done, total) => progress.update({ done, total, fields: [] }),
        });
        progress.finish();
        const records = inputs.records(scores);
        writeJsonLines(options.output, records);
        const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
        context.emit({ event: 'done', output: options.output, answers: scores.length, mean });
        context.note(`wrote ${options.output} (${scores.length} answers, mean reward ${mean.toFixed(4)})`);
      } finally {
        reward.dispose();
      }
    });
}

interface ScoreInputs {
  readonly answers: readonly AnswerToScore[];
  /** Lines of the output from the answers' scores. */
  records(scores: Float64Array): object[];
}

async function readInputs(
  context: CliContext,
  options: {
    readonly answers?: string;
    readonly data?: string;
    readonly format: string;
    readonly column?: Columns;
    readonly strict?: boolean;
  },
): Promise<ScoreInputs> {
  if ((options.answers === undefined) === (options.data === undefined)) {
    throw new UsageError('answers-or-data', 'Either --answers or --data says what to score.', {
      hint: 'Give one of them.',
    });
  }
  if (options.data !== undefined) {
    const { loadPairs } = await import('../../data/index.ts');
    const hub = await hubData(context);
    const reading = readingOptions(options.format, {
      strict: options.strict === true,
      columns: options.column,
    });
    const { examples: pairs, ...data } = await loadPairs(options.data, { ...reading, hub });
    await noteRows(context, { ...data, usable: pairs.length, cut: { examples: 0, tokens: 0 } });
    return {
      answers: pairs.flatMap(({ id, prompt, chosen, rejected }) => [
        { id, prompt, answer: chosen },
        { id, prompt, answer: rejected },
      ]),
      records: (scores) =>
        pairs.map(({ id }, i) => {
          const [chosen, rejected] = [scores[2 * i]!, scores[2 * i + 1]!];
          return { id, chosen, rejected, margin: chosen - rejected };
        }),
    };
  }
  const { readAnswers } = await import('../../evaluate/index.ts');
  const rows = await readAnswers(options.answers!);
  const answers = rows.flatMap(({ id, prompt, texts }) => {
    if (prompt === undefined) {
      throw new UsageError('missing-prompt', `The answer with id "${id}" comes without its prompt.`, {
        hint: 'A reward is a reward given the prompt: write {id, prompt, completions}.',
      });
    }
    return texts.map((answer) => ({ id, prompt, answer }));
  });
  return {
    answers,
    records: (scores) => {
      let at = 0;
      return rows.map(({ id, texts }) => ({ id, scores: texts.map(() => scores[at++]!) }));
    },
  };
}
