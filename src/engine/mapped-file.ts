import { EngineError } from '../errors.ts';
import { addon, type Handle } from './addon.ts';
import type { DType } from './contract.ts';
import { dtypeCode } from './dtypes.ts';
import { type Tensor, wrap } from './tensor.ts';

/**
 * A file in memory. Tensors over it share its pages: nothing is read before it is used, and nothing is copied. The
 * mapping is private, so writing to such a tensor never changes the file. Do not truncate a mapped file.
 */
export class MappedFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  #handle: Handle;

  constructor(path: string) {
    const { handle, size } = addon().mapFile(path);
    this.path = path;
    this.size = size;
    this.#handle = handle;
  }

  /**
   * The tensor that starts `offset` bytes into the file, row-major, little-endian. An offset that is not a multiple
   * of the element's width is copied instead of shared. Throws `out-of-bounds` past the file's end.
   */
  tensor(offset: number, shape: readonly number[], dtype: DType): Tensor {
    if (this.#handle === 0) throw new EngineError('file-closed', `${this.path} was closed before this read`);
    return wrap(addon().mappedTensor(this.#handle, offset, shape, dtypeCode(dtype)));
  }

  /** Lets go of the file. Tensors over it stay valid: the mapping ends with the last of them. */
  close(): void {
    if (this.#handle !== 0) addon().release(Uint32Array.of(this.#handle), 1);
    this.#handle = 0;
  }
}

/** Maps a file; see MappedFile. Throws `file-unreadable`. */
export function mapFile(path: string): MappedFile {
  return new MappedFile(path);
}
