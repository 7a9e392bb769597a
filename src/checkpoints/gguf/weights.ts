import { type Tensor, tensor } from '../../engine/index.ts';
import { ModelError } from '../../errors.ts';
import type { Weights } from '../weights.ts';
import { ggufArchitecture } from './config.ts';
import { dequantize } from './dequantize.ts';
import { type HeadCounts, relayout } from './layout.ts';
import { Metadata } from './metadata.ts';
import { DERIVED_TENSORS, type TensorName, tensorName } from './names.ts';
import { type GgufHeader, readGgufBytes } from './read.ts';

/**
 * The weights of a GGUF file under their Hugging Face names and in that layout, as float32. Each is read and
 * dequantised when it is asked for, so that only one at a time is in memory besides the model.
 */
export function ggufWeights(header: GgufHeader): Weights {
  const architecture = ggufArchitecture(header);
  const metadata = new Metadata(header.metadata, header.path);
  const headCount = metadata.sameForAllLayers(`${architecture}.attention.head_count`) ?? 1;
  const heads: HeadCounts = {
    heads: headCount,
    kvHeads: metadata.sameForAllLayers(`${architecture}.attention.head_count_kv`) ?? headCount,
  };
  const names = new Map<string, TensorName>();
  for (const name of header.tensors.keys()) {
    if (DERIVED_TENSORS.has(name)) continue;
    const both = tensorName(architecture, 'gguf', name);
    names.set(both.huggingFace, both);
  }
  const find = (name: string): TensorName => {
    const found = names.get(name);
    if (found !== undefined) return found;
    throw new ModelError('weight-missing', `There is no tensor for ${name} in ${header.path}.`);
  };
  return {
    files: [header.path],
    names: () => names.keys(),
    has: (name) => names.has(name),
    shape(name) {
      const { gguf, layout } = find(name);
      const { shape } = header.tensors.get(gguf)!;
      return layout === 'transposed' ? [...shape].reverse() : shape;
    },
    get(name): Tensor {
      const { gguf, layout } = find(name);
      const entry = header.tensors.get(gguf)!;
      const values = dequantize(entry.type, readGgufBytes(header, entry), `${header.path}: ${gguf}`);
      if (layout === undefined) return tensor(values, { shape: entry.shape });
      const moved = relayout(values, entry.shape, layout, 'huggingFace', heads);
      return tensor(moved.values, { shape: moved.shape });
    },
    close() {},
  };
}
