import { existsSync, statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename } from 'node:path';
import { noGrad, ops, type Tensor } from '../engine/index.ts';
import { UsageError } from '../errors.ts';
import { beginReading } from '../models/in-use.ts';
import { isGguf } from './files.ts';
import { requireAllFinite } from './finite.ts';
import { exportGguf } from './gguf/export.ts';
import { saveDirectory } from './huggingface.ts';
import { keepingReadme } from './kept-readme.ts';
import { type LoadedModel, modelTensors } from './load.ts';
import { storedType, type WeightType } from './weight-type.ts';

export interface SaveOptions {
  /** Type of the weights, `bf16` or `q8_0` (.gguf only). Default: what they have in memory; in a .gguf file f32 of float64. */
  readonly type?: WeightType;
  /** Replace a model that is there. A README.md that is no model card is left alone in any case. */
  readonly overwrite?: boolean;
  /** Told what the file cannot say exactly, and what became of a README.md that was there. */
  readonly notice?: (message: string) => void;
}

/**
 * Saves a model: a path that ends in .gguf becomes a GGUF file, any other a directory in the Hugging Face layout.
 *
 *     mergeAdapters(loaded);
 *     await saveModel(loaded, 'tuned.gguf', { type: 'q8_0' });
 *
 * @throws ModelError `adapter-attached` for a model with LoRA adapters (see `mergeAdapters`); UsageError `export-exists`
 * where a model is in the way, `export-dtype` for a directory of q8_0, `model-in-use` while someone else trains the model; ModelError `weights-not-finite` for infinities or NaN,
 * before anything there changes.
 */
export async function saveModel(loaded: LoadedModel, path: string, options: SaveOptions = {}): Promise<void> {
  // Writing takes a while: a training that went on would leave weights of several steps in one file.
  const endReading = beginReading(loaded.model);
  try {
    await requireSavable(path, options);
    await writeModel(loaded, path, options);
  } finally {
    endReading();
  }
}

async function writeModel(loaded: LoadedModel, path: string, options: SaveOptions): Promise<void> {
  const { type, notice = () => {} } = options;
  const { model, tokenizer, config, generationConfig, source } = loaded;
  const tensors = modelTensors(model);
  if (isGguf(path)) {
    const own = model.dtype === 'bfloat16' || model.dtype === 'float16' ? model.dtype : 'float32';
    const name = basename(source.baseModel);
    await exportGguf(path, { config: config.raw, tensors, tokenizer, type: type ?? own, name, notice });
    return;
  }
  const { baseModel, revision, license } = source;
  const card = {
    name: basename(path),
    baseModel,
    ...(revision !== undefined && { baseRevision: revision }),
    ...(license !== undefined && { license }),
  };
  await withType(tensors, type, async (converted) => {
    // `saveDirectory` refuses them too, but by then a card of the model that is there would have another name.
    requireAllFinite(converted);
    const checkpoint = {
      config: config.raw,
      generationConfig,
      tokenizer: tokenizer.files,
      tensors: converted,
      card,
    };
    await keepingReadme(path, () => saveDirectory(path, checkpoint), notice);
  });
}

/** Throws what `saveModel` throws for a place and its options, before a model is loaded for it. */
export async function requireSavable(path: string, { type, overwrite = false }: SaveOptions): Promise<void> {
  if (type !== undefined && storedType(type) === 'q8_0' && !isGguf(path)) {
    throw new UsageError('export-dtype', 'A Hugging Face directory has no q8_0 weights.', {
      hint: 'Export to a .gguf file, or choose f32, f16 or bf16.',
    });
  }
  if (!overwrite) await requireUnused(path);
}

/** Files of a model that saving another replaces or removes. */
const MODEL_FILES =
  /^((config|generation_config|tokenizer|tokenizer_config|special_tokens_map)\.json|chat_template\.jinja|model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json)$/;

async function requireUnused(path: string): Promise<void> {
  if (!existsSync(path)) return;
  const directory = statSync(path).isDirectory();
  const files = directory ? (await readdir(path)).filter((file) => MODEL_FILES.test(file)) : [path];
  if (files.length === 0) return;
  const what = directory ? `${path} holds ${files.sort().join(', ')}` : `The file ${path} exists`;
  throw new UsageError('export-exists', `${what}, which would be replaced.`, {
    hint: 'Choose another place, or overwrite the model.',
  });
}

/** The tensors in a type for as long as they are used; those that have it are lent as they are. */
async function withType(
  tensors: ReadonlyMap<string, Tensor>,
  type: WeightType | undefined,
  use: (tensors: ReadonlyMap<string, Tensor>) => Promise<void>,
): Promise<void> {
  const stored = type === undefined ? undefined : storedType(type);
  if (stored === undefined || stored === 'q8_0') return use(tensors);
  const copies = new Map<string, Tensor>();
  try {
    for (const [name, tensor] of tensors) {
      if (tensor.dtype !== stored)
        copies.set(
          name,
          noGrad(() => ops.to(tensor, stored)),
        );
    }
    await use(new Map([...tensors].map(([name, tensor]) => [name, copies.get(name) ?? tensor])));
  } finally {
    for (const copy of copies.values()) copy.dispose();
  }
}
