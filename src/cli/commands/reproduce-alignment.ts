import { type CommandUnknownOpts, Option } from '@commander-js/extra-typings';
import type { Device } from '../../engine/index.ts';
import type { Judge } from '../../evaluate/index.ts';
import type { AlignmentKind } from '../../experiments/index.ts';
import { collect, command, positiveInteger } from '../command.ts';
import type { CliContext } from '../context.ts';
import { readingOptions } from '../data.ts';
import { MODEL_HELP } from '../options.ts';
import { announceReport } from './reproduce-report.ts';

const KINDS = {
  hh: {
    summary: 'dialogue: win rates against DPO (section 5.4)',
    examples: [
      'mallows reproduce hh --data hh-train.jsonl.gz --eval-data hh-test.jsonl.gz',
      'mallows reproduce hh --data hf:Anthropic/hh-rlhf:train --scale paper --judge openai:gpt-4.1',
    ],
  },
  ultrafeedback: {
    summary: 'on-policy pairs: win rates against DPO (section 5.5)',
    examples: [
      'mallows reproduce ultrafeedback --data ultrafeedback.jsonl.gz',
      'mallows reproduce ultrafeedback --data pairs.jsonl --scale paper --reward MODEL --judge openai:gpt-4.1',
    ],
  },
} as const;

export function alignmentCommand(context: CliContext, kind: AlignmentKind): CommandUnknownOpts {
  const { summary, examples } = KINDS[kind];
  return command(context, kind, summary, examples)
    .requiredOption('--data <data>', 'preference pairs: for the reward model, for tuning, and for judging')
    .option('--eval-data <data>', 'pairs whose prompts are answered and judged (default: held out)')
    .addOption(
      new Option('--scale <scale>', 'settings to start from')
        .choices(['small', 'paper'] as const)
        .default('small' as const),
    )
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
    .option('--set <key=value>', 'set any of the scale’s settings; may be repeated', collect)
    .option('--settings', 'print the settings and stop')
    .addOption(
      new Option('--dtype <dtype>', 'compute type')
        .choices(['auto', 'fp32', 'bf16'] as const)
        .default('auto' as const),
    )
    .option('--device <device>', 'auto, cpu, cuda, cuda:N, mps', 'auto')
    .option('--threads <n>', 'CPU threads (default: all cores)', positiveInteger)
    .option(
      '--output <dir>',
      'where stages, runs and report go; the same command goes on there',
      `runs/${kind}`,
    )
    .action(async (options) => {
      const { ALIGNMENT_SCALES, runAlignment, writeAlignmentReport } = await import(
        '../../experiments/index.ts'
      );
      const { overrideSettings } = await import('../experiment-settings.ts');
      const { runExperiment } = await import('../experiment-run.ts');
      const { hubData } = await import('../model.ts');
      const settings = overrideSettings(ALIGNMENT_SCALES[kind][options.scale], [
        ...(options.model === undefined ? [] : [`model=${JSON.stringify(options.model)}`]),
        ...(options.reward === undefined ? [] : [`reward.model=${JSON.stringify(options.reward)}`]),
        ...(options.set ?? []),
      ]);
      if (options.settings === true) {
        context.print(JSON.stringify(settings, null, 2));
        context.emit(settings);
        return;
      }
      const hub = await hubData(context);
      const judge = options.judge === undefined ? undefined : await openJudge(options.judge, options);
      try {
        const report = await runExperiment(context, (watch) =>
          runAlignment({
            ...watch,
            kind,
            data: options.data,
            ...(options.evalData !== undefined && { evalData: options.evalData }),
            output: options.output,
            settings,
            scale: options.scale,
            reading: { ...readingOptions('auto', {}), hub },
            ...(judge && { judge }),
            dtype: options.dtype,
            device: options.device as Device | 'auto',
            ...(options.threads !== undefined && { threads: options.threads }),
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
    compare: (pair) => judge.compare(pair),
    close: async () => {
      await judge.close();
      cache.close();
    },
  };
}
