import { type LoadedModel, modelTensors, ops, saveDirectory, type Tensor, tidy } from 'mallowspo';

/** Widths that a thin model keeps: two numbers a head. */
const HEAD_WIDTH = 2;
const INTERMEDIATE = 8;

/** Writes a model with the layers, heads, vocabulary and so the operators of `loaded`, but hardly any arithmetic. */
export async function writeThin(loaded: LoadedModel, folder: string): Promise<void> {
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
}
