import type { Tensor } from '../engine/index.ts';

/** Weights of a checkpoint by Hugging Face name, whatever file they lie in. */
export interface Weights {
  names(): Iterable<string>;
  has(name: string): boolean;
  shape(name: string): readonly number[];
  /** The weight as it is stored (GGUF: dequantised to float32). Throws `weight-missing` for an unknown name. */
  get(name: string): Tensor;
  /** The files that hold them, for hashing. */
  readonly files: readonly string[];
  /** Lets go of the files. Tensors that were handed out stay valid. */
  close(): void;
}
