import { join } from 'node:path';
import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import { readingOptions } from '../../config/reading.ts';
import type { Device } from '../../engine/index.ts';
import type { Judge } from '../../evaluate/index.ts';
import type { AlignmentKind } from '../../experiments/index.ts';
import { collect, command } from '../command.ts';
import type { CliContext } from '../context.ts';
import {
  AUTO_DEVICE_HELP,
  pipelineOptions,
  SET_HELP,
  SETTINGS_HELP,
  STAGES_HELP,
  scaleOption,
} from '../experiment-options.ts';
import { announceReport } from '../experiment-report.ts';
import { isAsked, noteEarlierReplies, OPENAI_URL, openAskedJudge, requireJudge } from '../judges.ts';
import { computeTypeOption, MODEL_HELP, threadsOption } from '../options.ts';

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
    .option('--data <data>', 'preference pairs: for the reward model, for tuning, and for judging')
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
    .option('--judge-url <url>', 'OpenAI-compatible server', OPENAI_URL)
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
      const { chosenSettings, requireData } = await import('../experiment-settings.ts');
      const { alignmentSchema } = await import('../experiment-schemas.ts');
      const settings = chosenSettings(
        context,
        alignmentSchema,
        ALIGNMENT_SCALES[kind][options.scale],
        options,
        [
          { flag: '--model', path: ['model'], value: options.model },
          { flag: '--reward', path: ['reward', 'model'], value: options.reward },
        ],
      );
      if (settings === undefined) return;
      const data = requireData(options.data);
      const reading = { ...readingOptions('auto', {}), hub: await hubData(context) };
      const { judge } = options;
      if (judge !== undefined) await requireJudge(context, judge);
      const report = await runExperiment(context, async (watch, note) => {
        const run = (by?: Judge | string) =>
          runAlignment({
            ...watch,
            ...pipelineOptions({ ...options, data }),
            kind,
            settings,
            reading,
            ...(options.evalData !== undefined && { evalData: options.evalData }),
            ...(by !== undefined && { judge: by }),
          });
        // A reward model computes where all else does.
        if (judge === undefined || !isAsked(judge)) return run(judge);
        // The judge's cache makes the output directory: not for a device that is not here.
        const { resolveDevice } = await import('../../engine/index.ts');
        resolveDevice(options.device as Device | 'auto');
        const asked = await openAskedJudge(judge, join(options.output, 'judge.cache.jsonl'), {
          ...options,
          note,
        });
        try {
          const report = await run(asked);
          noteEarlierReplies(context, asked);
          return report;
        } finally {
          await asked.close();
        }
      });
      await writeAlignmentReport(options.output, report);
      announceReport(context, options.output, report);
    });
}
