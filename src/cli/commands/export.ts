import { basename } from 'node:path';
import { type CommandUnknownOpts, Option } from '@commander-js/extra-typings';
import { UsageError } from '../../errors.ts';
import { command } from '../command.ts';
import type { CliContext } from '../context.ts';
import { MODEL_HELP } from '../options.ts';

const TYPES = { f32: 'F32', f16: 'F16', bf16: 'BF16', q8_0: 'Q8_0' } as const;

export function exportCommand(context: CliContext): CommandUnknownOpts {
  return command(context, 'export', 'write a model as a Hugging Face directory or a GGUF file', [
    'mallows export --model runs/quickstart/model --to model.gguf --dtype q8_0',
    'mallows export --model smollm2-135m:gguf --to smollm2/ --dtype f32',
    'mallows export --model runs/lora/model --to merged/        merge an adapter into its base',
  ])
    .requiredOption('--model <model>', MODEL_HELP)
    .requiredOption('--to <path>', 'a directory, or a file that ends in .gguf')
    .addOption(
      new Option('--dtype <dtype>', 'type of the weights (q8_0: .gguf only)').choices(
        Object.keys(TYPES) as (keyof typeof TYPES)[],
      ),
    )
    .action(async ({ model: spec, to, dtype = 'f32' }) => {
      const gguf = to.endsWith('.gguf');
      if (dtype === 'q8_0' && !gguf) {
        throw new UsageError('export-dtype', 'A Hugging Face directory has no q8_0 weights.', {
          hint: 'Export to a .gguf file, or choose f32, f16 or bf16.',
        });
      }
      const { exportGguf, loadModel, modelTensors, saveDirectory } = await import(
        '../../checkpoints/index.ts'
      );
      const { mergeLora } = await import('../../nn/lora.ts');
      const { hubOptions } = await import('../model.ts');
      const weightType = ({ f32: 'float32', f16: 'float16', bf16: 'bfloat16', q8_0: 'float32' } as const)[
        dtype
      ];
      const { model, tokenizer, config, generationConfig, source } = await loadModel(spec, {
        ...hubOptions(context),
        dtype: gguf ? 'float32' : weightType,
      });
      try {
        const linears = model.layers.flatMap((layer) => [...layer.linears.values()]);
        mergeLora(linears.filter(({ adapter }) => adapter !== undefined));
        const tensors = modelTensors(model);
        if (gguf) {
          await exportGguf(to, {
            config: config.raw,
            tensors,
            tokenizer,
            type: TYPES[dtype],
            name: basename(source.baseModel),
            notice: context.note,
          });
        } else {
          await saveDirectory(to, {
            config: config.raw,
            generationConfig,
            tokenizer: tokenizer.files,
            tensors,
            card: {
              name: basename(to),
              baseModel: source.baseModel,
              ...(source.revision !== undefined && { baseRevision: source.revision }),
              ...(source.license !== undefined && { license: source.license }),
            },
          });
        }
      } finally {
        model.dispose();
      }
      context.note(`wrote ${to}`);
      context.emit({ event: 'done', output: to, dtype });
    });
}
