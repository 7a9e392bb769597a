import { join } from 'node:path';
import { type CommandUnknownOpts, Option } from '@commander-js/extra-typings';
import { isGguf } from '../../checkpoints/files.ts';
import { command } from '../command.ts';
import type { CliContext } from '../context.ts';
import { MODEL_HELP } from '../options.ts';
import { requireWritable } from '../writable.ts';

/** Weight types by their short names. */
const TYPES = ['f32', 'f16', 'bf16', 'q8_0'] as const;

export function exportCommand(context: CliContext): CommandUnknownOpts {
  return command(context, 'export', 'write a model as a Hugging Face directory or a GGUF file', [
    'mallows export --model runs/quickstart/model --to model.gguf --dtype q8_0',
    'mallows export --model smollm2-135m:gguf --to smollm2/ --dtype bf16',
    'mallows export --model runs/lora/model --to merged/        merge an adapter into its base',
  ])
    .requiredOption('--model <model>', MODEL_HELP)
    .requiredOption('--to <path>', 'a directory, or a file that ends in .gguf')
    .addOption(
      new Option(
        '--dtype <dtype>',
        'type of the weights; q8_0: .gguf only (default: the checkpoint’s own; f32 of a .gguf file)',
      ).choices(TYPES),
    )
    .option('--overwrite', 'replace a model that is there; a README.md of your own is left alone')
    .action(async ({ model: spec, to, dtype, overwrite }) => {
      const { loadModel, saveModel } = await import('../../checkpoints/index.ts');
      const { requireSavable } = await import('../../checkpoints/save.ts');
      await requireSavable(to, { ...(dtype && { type: dtype }), overwrite: overwrite === true });
      requireWritable(isGguf(to) ? to : join(to, 'config.json'));
      const { mergeAdapters } = await import('../../train/index.ts');
      const { hubOptions } = await import('../model.ts');
      const type = dtype ?? (await checkpointType(context, spec));
      const loaded = await loadModel(spec, {
        ...(dtype !== undefined && hubOptions(context)),
        dtype: type === 'q8_0' || isGguf(to) ? 'float32' : type,
      });
      try {
        mergeAdapters(loaded);
        await saveModel(loaded, to, { type, overwrite: true, notice: context.note });
      } finally {
        loaded.dispose();
      }
      context.note(`wrote ${to} (${type})`);
      context.emit({ event: 'done', output: to, dtype: type });
    });
}

/** The type in which a checkpoint has its weights; quantised ones are widened to f32. */
async function checkpointType(context: CliContext, spec: string): Promise<(typeof TYPES)[number]> {
  const { openModel } = await import('../../checkpoints/index.ts');
  const { hubOptions } = await import('../model.ts');
  const { weights } = await openModel(spec, hubOptions(context));
  try {
    // Norms and tables may be wider than the matrices that they are few numbers beside.
    const size = (name: string) => weights.shape(name).reduce((product, extent) => product * extent, 1);
    const largest = [...weights.names()].reduce((a, b) => (size(b) > size(a) ? b : a));
    const weight = weights.get(largest);
    const stored = weight.dtype;
    weight.dispose();
    return stored === 'float16' ? 'f16' : stored === 'bfloat16' ? 'bf16' : 'f32';
  } finally {
    weights.close();
  }
}
