import { writeFileSync } from 'node:fs';
import { type LoadedModel, modelTensors, ops, saveDirectory, type Tensor, tidy } from 'mallowspo';

/** Widths that a thin model keeps: two numbers a head. */
const HEAD_WIDTH = 2;
const INTERMEDIATE = 8;

/**
 * Writes a model with the layers, heads, vocabulary and so the operators of `loaded`, but hardly any arithmetic, and
 * `pairs` pairs of a word each for it.
 */
export async function writeThin(
  loaded: LoadedModel,
  folder: string,
  data: string,
  pairs: number,
): Promise<void> {
  const { config, tokenizer, generationConfig, source, model } = loaded;
  const { heads, kvHeads, headWidth, width, intermediateWidth } = config;
  const thin = new Map([
    [width, heads * HEAD_WIDTH],
    [heads * headWidth, heads * HEAD_WIDTH],
    [kvHeads * headWidth, kvHeads * HEAD_WIDTH],
    [intermediateWidth, INTERMEDIATE],
  ]);
  const corner = (x: Tensor) =>
    ops.clone(x.shape.reduce((kept, size, at) => ops.narrow(kept, at, 0, thin.get(size) ?? size), x));
  const tensors = new Map([...modelTensors(model)].map(([name, x]) => [name, tidy(() => corner(x))]));
  await saveDirectory(folder, {
    config: {
      ...config.raw,
      hidden_size: heads * HEAD_WIDTH,
      intermediate_size: INTERMEDIATE,
      head_dim: HEAD_WIDTH,
    },
    generationConfig,
    tokenizer: tokenizer.files,
    tensors,
    card: { name: 'thin', baseModel: source.baseModel },
  });
  for (const tensor of tensors.values()) tensor.dispose();
  const rows = Array.from({ length: pairs }, (_, id) => ({
    id: `${id}`,
    prompt: [{ role: 'user', content: 'a' }],
    chosen: [{ role: 'assistant', content: 'b' }],
    rejected: [{ role: 'assistant', content: 'c' }],
  }));
  writeFileSync(data, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
}
