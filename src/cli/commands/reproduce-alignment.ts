import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import type { Judge } from '../../evaluate/index.ts';
import type { AlignmentKind } from '../../experiments/index.ts';
import { collect, command } from '../command.ts';
import type { CliContext } from '../context.ts';
import { readingOptions } from '../data.ts';
import {
  AUTO_DEVICE_HELP,
  chosenSettings,
  pipelineOptions,
  SET_HELP,
  SETTINGS_HELP,
  STAGES_HELP,
  scaleOption,
} from '../experiment-options.ts';
import { computeTypeOption, MODEL_HELP, threadsOption } from '../options.ts';
import { announceReport } from './reproduce-report.ts';

const KINDS = {
  hh: {
    summary: 'dialogue: win rates against DPO (section 5.4)',
    scales: 'small: SmolLM2-135M, 8 runs, about 25 min on 2 cores (AMX); paper: Pythia-2.8B on a large GPU',
    examples: [
      'mallows reproduce hh --data hh-train.jsonl.gz --eval-data hh-test.jsonl.gz',
      'mallows reproduce hh --data hh --eval-data hh-test --scale paper --judge openai:gpt-4.1',
    ],
  },
  ultrafeedback: {
    summary: 'on-policy pairs: win rates against DPO (section 5.5)',
    scales: 'small: SmolLM2-135M, 6 runs, about 20 min on 2 cores (AMX); paper: Llama-3-8B on a large GPU',
    examples: [
      'mallows reproduce ultrafeedback --data ultrafeedback.jsonl.gz',
      'mallows reproduce ultrafeedback --data pairs.jsonl --scale paper --reward MODEL --judge openai:gpt-4.1',
    ],
  },
} as const;

export function alignmentCommand(context: CliContext, kind: AlignmentKind): CommandUnknownOpts {
  const { summary, scales, examples } = KINDS[kind];
  return command(context, kind, summary, examples)
    .requiredOption('--data <data>', 'preference pairs: for the reward model, for tuning, and for judging')
    .option('--eval-data <data>', 'pairs whose prompts are answered and judged (default: held out)')
    .addOption(scaleOption(scales))
    .option('--model <model>', `${MODEL_HELP} (default: the scale’s)`)
    .option(
      '--reward <model>',
      'a reward model’s directory or hub id (default: one is trained on pairs held apart)',
    )
    .option(
      '--judge <judge>',
      'openai:MODEL, cmd:COMMAND, or a reward model (default: the reward model of the run)',
    )
    .option('--judge-url <url>', 'OpenAI-compatible server', 'https://api.openai.com/v1')
    .option('--key-env <name>', 'environment variable that holds the API key', 'OPENAI_API_KEY')
    .option('--set <key=value>', SET_HELP, collect)
    .option('--settings', SETTINGS_HELP)
    .addOption(computeTypeOption())
    .option('--device <device>', AUTO_DEVICE_HELP, 'auto')
    .addOption(threadsOption())
    .option('--output <dir>', STAGES_HELP, `runs/${kind}`)
    .action(async (options) => {
      const { ALIGNMENT_SCALES, runAlignment, writeAlignmentReport } = await import(
        '../../experiments/index.ts'
      );
      const { runExperiment } = await import('../experiment-run.ts');
      const { hubData } = await import('../model.ts');
      const settings = chosenSettings(context, ALIGNMENT_SCALES[kind][options.scale], options, {
        model: options.model,
        'reward.model': options.reward,
      });
      if (settings === undefined) return;
      const reading = { ...readingOptions('auto', {}), hub: await hubData(context) };
      const judge = options.judge === undefined ? undefined : await openJudge(options.judge, options);
      try {
        const report = await runExperiment(context, (watch) =>
          runAlignment({
            ...watch,
            ...pipelineOptions(options),
            kind,
            settings,
            reading,
            ...(options.evalData !== undefined && { evalData: options.evalData }),
            ...(judge && { judge }),
          }),
        );
        await writeAlignmentReport(options.output, report);
        announceReport(context, options.output, report);
      } finally {
        await judge?.close();
      }
    });
}

/** A judge by the names of `mallows judge`, which see every pair in both orders and keep paid answers in `judge.cache.jsonl`. */
async function openJudge(
  name: string,
  options: { readonly judgeUrl: string; readonly keyEnv: string; readonly output: string },
): Promise<Judge> {
  const { createJudge } = await import('./judge.ts');
  const evaluate = await import('../../evaluate/index.ts');
  const { mkdirSync } = await import('node:fs');
  mkdirSync(options.output, { recursive: true });
  const cache = evaluate.ResponseCache.open(`${options.output}/judge.cache.jsonl`);
  const judge = await createJudge(evaluate, name, {
    url: options.judgeUrl,
    apiKey: evaluate.apiKeyFromEnvironment(options.keyEnv),
    concurrency: 8,
    timeoutMs: 120_000,
    retries: 8,
    template: 'pairwise',
    cache,
  });
  return {
    name: judge.name,
    orderFree: judge.orderFree,
    compare: (pair, signal) => judge.compare(pair, signal),
    close: async () => {
      await judge.close();
      cache.close();
    },
  };
}
