import { existsSync, statSync } from 'node:fs';
import { readdir, rename } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type CommandUnknownOpts, Option } from '@commander-js/extra-typings';
import { isGguf } from '../../checkpoints/files.ts';
import { isModelCard } from '../../checkpoints/model-card.ts';
import type { DType } from '../../engine/index.ts';
import { UsageError } from '../../errors.ts';
import { command } from '../command.ts';
import type { CliContext } from '../context.ts';
import { MODEL_HELP } from '../options.ts';

/** Weight types of the command line: in which the model is loaded, and what a GGUF file calls them. */
const TYPES = {
  f32: { load: 'float32', gguf: 'F32' },
  f16: { load: 'float16', gguf: 'F16' },
  bf16: { load: 'bfloat16', gguf: 'BF16' },
  q8_0: { load: 'float32', gguf: 'Q8_0' },
} as const;

type WeightType = keyof typeof TYPES;

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
      ).choices(Object.keys(TYPES) as WeightType[]),
    )
    .option('--overwrite', 'replace a model that is there; a README.md of your own is left alone')
    .action(async ({ model: spec, to, dtype, overwrite }) => {
      const { exportGguf, loadModel, modelTensors, saveDirectory } = await import(
        '../../checkpoints/index.ts'
      );
      const gguf = isGguf(to);
      if (dtype === 'q8_0' && !gguf) {
        throw new UsageError('export-dtype', 'A Hugging Face directory has no q8_0 weights.', {
          hint: 'Export to a .gguf file, or choose f32, f16 or bf16.',
        });
      }
      if (overwrite !== true) await requireUnused(to);
      const { linearsOf } = await import('../../models/linears.ts');
      const { mergeLora } = await import('../../nn/lora.ts');
      const { hubOptions } = await import('../model.ts');
      const type = dtype ?? (await storedType(context, spec));
      const { model, tokenizer, config, generationConfig, source } = await loadModel(spec, {
        ...(dtype !== undefined && hubOptions(context)),
        dtype: gguf ? 'float32' : TYPES[type].load,
      });
      try {
        const linears = linearsOf(model);
        mergeLora(linears.filter(({ adapter }) => adapter !== undefined));
        const tensors = modelTensors(model);
        if (gguf) {
          await exportGguf(to, {
            config: config.raw,
            tensors,
            tokenizer,
            type: TYPES[type].gguf,
            name: basename(source.baseModel),
            notice: context.note,
          });
        } else {
          await keepingReadme(context, to, () =>
            saveDirectory(to, {
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
            }),
          );
        }
      } finally {
        model.dispose();
      }
      context.note(`wrote ${to} (${type})`);
      context.emit({ event: 'done', output: to, dtype: type });
    });
}

/** Files of a model that an export replaces or removes. */
const MODEL_FILES =
  /^((config|generation_config|tokenizer|tokenizer_config|special_tokens_map)\.json|chat_template\.jinja|model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json)$/;

async function requireUnused(to: string): Promise<void> {
  if (!existsSync(to)) return;
  const directory = statSync(to).isDirectory();
  const files = directory ? (await readdir(to)).filter((file) => MODEL_FILES.test(file)) : [to];
  if (files.length === 0) return;
  const what = directory ? `${to} holds ${files.sort().join(', ')}` : `The file ${to} exists`;
  throw new UsageError('export-exists', `${what}, which would be replaced.`, {
    hint: 'Choose another place, or replace the model (--overwrite).',
  });
}

/**
 * A repository's README.md is its owner's own text: while others are written it has another name. A card of the model that
 * is replaced would name the wrong one, so it stays under that of `README.before.md`.
 */
async function keepingReadme(
  context: CliContext,
  directory: string,
  save: () => Promise<void>,
): Promise<void> {
  const readme = join(directory, 'README.md');
  const kept = `${readme}.kept`;
  // Where an export was killed, the owner's is the one that was put aside.
  if (existsSync(readme) && !existsSync(kept)) {
    if (isModelCard(readme)) {
      const before = unusedName(directory, 'README.before');
      await rename(readme, before);
      context.note(`The model card of before is in ${before}.`);
    } else {
      await rename(readme, kept);
    }
  }
  try {
    await save();
  } finally {
    if (existsSync(kept)) {
      await rename(kept, readme);
      context.note(`${readme} is left as it was; without it a model card is written.`);
    }
  }
}

/** `README.before.md`, or with the first number that is free. */
function unusedName(directory: string, stem: string): string {
  for (let number = 1; ; number++) {
    const path = join(directory, `${stem}${number === 1 ? '' : `-${number}`}.md`);
    if (!existsSync(path)) return path;
  }
}

/** The type in which a checkpoint has its weights; quantised ones are widened to f32. */
async function storedType(context: CliContext, spec: string): Promise<WeightType> {
  const { openModel } = await import('../../checkpoints/index.ts');
  const { hubOptions } = await import('../model.ts');
  const { weights } = await openModel(spec, hubOptions(context));
  try {
    // Norms and tables may be wider than the matrices that they are few numbers beside.
    const size = (name: string) => weights.shape(name).reduce((product, extent) => product * extent, 1);
    const largest = [...weights.names()].reduce((a, b) => (size(b) > size(a) ? b : a));
    const weight = weights.get(largest);
    const stored: DType = weight.dtype;
    weight.dispose();
    return stored === 'float16' ? 'f16' : stored === 'bfloat16' ? 'bf16' : 'f32';
  } finally {
    weights.close();
  }
}
