import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { ModelError } from '../../errors.ts';
import {
  DEFAULT_ALIGNMENT,
  GGUF_MAGIC,
  type GgufScalar,
  type GgufValue,
  type GgufValueType,
  TENSOR_TYPES,
  type TensorTypeName,
  tensorTypeName,
  VALUE_TYPES,
} from './format.ts';

export interface GgufTensor {
  readonly name: string;
  /** Row-major, outermost first (the file lists extents innermost first). */
  readonly shape: readonly number[];
  readonly type: TensorTypeName;
  /** Bytes from the start of the file. */
  readonly offset: number;
  readonly bytes: number;
}

/** A GGUF file's description, checked: every tensor lies inside the file and overlaps no other. */
export interface GgufHeader {
  readonly path: string;
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

/** Reads and checks everything but the tensors' data. Throws `gguf-invalid` that names the file and the place. */
export function readGgufHeader(path: string): GgufHeader {
  const file = openSync(path, 'r');
  try {
    return parse(path, new HeaderBytes(path, file));
  } finally {
    closeSync(file);
  }
}

/** The bytes of one tensor as they lie in the file. */
export function readGgufBytes(header: GgufHeader, tensor: GgufTensor): Uint8Array {
  const file = openSync(header.path, 'r');
  try {
    const bytes = new Uint8Array(tensor.bytes);
    if (!fill(bytes, file, tensor.offset)) {
      throw invalid(header.path, `it ended while tensor ${tensor.name} was read`);
    }
    return bytes;
  } finally {
    closeSync(file);
  }
}

/** More entries than this mean that a length was read from the wrong place. */
const MOST_ENTRIES = 2 ** 24;
const MOST_DIMENSIONS = 4;

function parse(path: string, bytes: HeaderBytes): GgufHeader {
  if (bytes.size < 24 || bytes.uint32() !== GGUF_MAGIC) throw invalid(path, 'it does not begin with "GGUF"');
  const version = bytes.uint32();
  if (version !== 2 && version !== 3) {
    const swapped = version > 0xffff ? ' (a big-endian file, it seems)' : '';
    throw invalid(
      path,
      `its version is ${version}${swapped}; versions 2 and 3, little-endian, are supported`,
    );
  }
  const tensorCount = bytes.count('the number of tensors');
  const fieldCount = bytes.count('the number of metadata entries');

  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < fieldCount; i++) {
    const key = bytes.string(`metadata key ${i}`);
    if (metadata.has(key)) throw invalid(path, `metadata key ${key} occurs twice`);
    metadata.set(key, bytes.value(key));
  }
  const alignment = metadata.get('general.alignment') ?? DEFAULT_ALIGNMENT;
  if (typeof alignment !== 'number' || alignment < 1 || (alignment & (alignment - 1)) !== 0) {
    throw invalid(path, `general.alignment is ${String(alignment)}, not a power of two`);
  }

  const listed = Array.from({ length: tensorCount }, (_, i) => bytes.tensorInfo(`tensor ${i}`));
  const dataStart = Math.ceil(bytes.position / alignment) * alignment;
  const tensors = new Map<string, GgufTensor>();
  for (const { offset, ...info } of listed) {
    if (tensors.has(info.name)) throw invalid(path, `tensor ${info.name} occurs twice`);
    if (offset % alignment !== 0) {
      throw invalid(path, `tensor ${info.name} begins at ${offset}, not a multiple of ${alignment}`);
    }
    const begin = dataStart + offset;
    if (begin + info.bytes > bytes.size) {
      throw invalid(
        path,
        `tensor ${info.name} ends at byte ${begin + info.bytes} of ${bytes.size}: it is cut off`,
      );
    }
    tensors.set(info.name, { ...info, offset: begin });
  }
  refuseOverlap(path, [...tensors.values()]);
  return { path, version, metadata, tensors };
}

function refuseOverlap(path: string, tensors: GgufTensor[]): void {
  tensors.sort((a, b) => a.offset - b.offset);
  for (const [i, next] of tensors.entries()) {
    const before = tensors[i - 1];
    if (before !== undefined && before.offset + before.bytes > next.offset) {
      throw invalid(path, `tensors ${before.name} and ${next.name} overlap`);
    }
  }
}

/** Reads forward through the front of a file, fetching more of it as needed. */
class HeaderBytes {
  readonly size: number;
  position = 0;
  readonly #path: string;
  readonly #file: number;
  #bytes = Buffer.alloc(0);
  /** Where in the file `#bytes` begins. */
  #base = 0;

  constructor(path: string, file: number) {
    this.#path = path;
    this.#file = file;
    this.size = fstatSync(file).size;
  }

  uint32(): number {
    return this.#take(4, 'the header').readUInt32LE();
  }

  /** A 64-bit count of things that must fit into the file. */
  count(what: string): number {
    const value = Number(this.#take(8, what).readBigUInt64LE());
    if (value > MOST_ENTRIES || value > this.size) throw this.#damaged(what, `is ${value}`);
    return value;
  }

  string(what: string): string {
    const length = Number(this.#take(8, what).readBigUInt64LE());
    if (length > this.size) throw this.#damaged(what, `is said to be ${length} bytes long`);
    return this.#take(length, what).toString('utf8');
  }

  value(key: string): GgufValue {
    const type = this.#valueType(key);
    if (type !== 'array') return this.#scalar(type, key);
    const items = this.#valueType(key);
    if (items === 'array') throw this.#damaged(key, 'is an array of arrays, which is not supported');
    const length = this.count(`the length of ${key}`);
    return Array.from({ length }, () => this.#scalar(items, key));
  }

  tensorInfo(place: string): {
    name: string;
    shape: number[];
    type: TensorTypeName;
    offset: number;
    bytes: number;
  } {
    const name = this.string(`the name of ${place}`);
    const dimensions = this.uint32();
    if (dimensions > MOST_DIMENSIONS) throw this.#damaged(`tensor ${name}`, `has ${dimensions} dimensions`);
    const extents = Array.from({ length: dimensions }, () => Number(this.#take(8, name).readBigUInt64LE()));
    const code = this.uint32();
    const type = tensorTypeName(code);
    if (type === undefined) {
      throw new ModelError(
        'gguf-unsupported',
        `${this.#path}: tensor ${name} has the unknown type ${code}.`,
        {
          hint: 'Convert the file to one of F32, F16, BF16, Q8_0, Q6_K, Q5_K, Q4_K, Q4_1, Q4_0 with llama-quantize.',
        },
      );
    }
    const { block, bytes: blockBytes } = TENSOR_TYPES[type];
    const elements = extents.reduce((product, extent) => product * extent, 1);
    if ((extents[0] ?? 1) % block !== 0) {
      throw this.#damaged(
        `tensor ${name}`,
        `has rows of ${extents[0]} elements, not whole blocks of ${block} (${type})`,
      );
    }
    const bytes = (elements / block) * blockBytes;
    if (!Number.isSafeInteger(bytes))
      throw this.#damaged(`tensor ${name}`, `has the shape [${extents.join(', ')}]`);
    const offset = Number(this.#take(8, name).readBigUInt64LE());
    return { name, shape: extents.reverse(), type, offset, bytes };
  }

  #valueType(key: string): GgufValueType {
    const code = this.#take(4, key).readUInt32LE();
    const type = VALUE_TYPES[code];
    if (type === undefined) throw this.#damaged(key, `has the unknown value type ${code}`);
    return type;
  }

  #scalar(type: Exclude<GgufValueType, 'array'>, key: string): GgufScalar {
    switch (type) {
      case 'uint8':
        return this.#take(1, key).readUInt8();
      case 'int8':
        return this.#take(1, key).readInt8();
      case 'uint16':
        return this.#take(2, key).readUInt16LE();
      case 'int16':
        return this.#take(2, key).readInt16LE();
      case 'uint32':
        return this.#take(4, key).readUInt32LE();
      case 'int32':
        return this.#take(4, key).readInt32LE();
      case 'float32':
        return this.#take(4, key).readFloatLE();
      case 'bool':
        return this.#take(1, key).readUInt8() !== 0;
      case 'string':
        return this.string(key);
      case 'uint64':
        return exact(this.#take(8, key).readBigUInt64LE());
      case 'int64':
        return exact(this.#take(8, key).readBigInt64LE());
      case 'float64':
        return this.#take(8, key).readDoubleLE();
    }
  }

  #take(length: number, what: string): Buffer {
    const end = this.position + length;
    if (end > this.size) throw this.#damaged(what, 'lies beyond the end of the file');
    if (end > this.#base + this.#bytes.length) this.#fetch(length);
    const from = this.position - this.#base;
    this.position = end;
    return this.#bytes.subarray(from, from + length);
  }

  #fetch(length: number): void {
    const wanted = Math.min(Math.max(length, 1 << 20), this.size - this.position);
    this.#bytes = Buffer.allocUnsafe(wanted);
    this.#base = this.position;
    if (!fill(this.#bytes, this.#file, this.#base)) {
      throw this.#damaged('the header', 'could not be read to its end');
    }
  }

  #damaged(what: string, problem: string): ModelError {
    return invalid(this.#path, `${what} ${problem} (byte ${this.position})`);
  }
}

/** Node makes the length of a read a signed 32-bit number, without saying so. */
const LONGEST_READ = 2 ** 30;

/** Reads from `position` until `bytes` is full; false when the file ends before. */
function fill(bytes: Uint8Array, file: number, position: number): boolean {
  for (let done = 0; done < bytes.length; ) {
    const count = readSync(file, bytes, done, Math.min(bytes.length - done, LONGEST_READ), position + done);
    if (count === 0) return false;
    done += count;
  }
  return true;
}

function exact(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function invalid(path: string, problem: string): ModelError {
  return new ModelError('gguf-invalid', `${path} is not a usable GGUF file: ${problem}.`, {
    hint: 'Download or convert the file again.',
  });
}
