import { ModelError } from '../../errors.ts';
import { writeAtomically } from '../atomic-file.ts';
import {
  DEFAULT_ALIGNMENT,
  GGUF_MAGIC,
  GGUF_VERSION,
  type GgufField,
  type GgufScalar,
  type GgufValueType,
  TENSOR_TYPES,
  type TensorTypeName,
  VALUE_TYPES,
} from './format.ts';

export interface GgufTensorToWrite {
  readonly name: string;
  /** Row-major, outermost first. */
  readonly shape: readonly number[];
  readonly type: TensorTypeName;
  /** Called once, when its turn to be written comes. */
  bytes(): Uint8Array;
}

/** Writes a GGUF file (version 3). Tensors are asked for their bytes one after the other. */
export async function writeGguf(
  path: string,
  fields: readonly GgufField[],
  tensors: readonly GgufTensorToWrite[],
): Promise<void> {
  const header = new HeaderWriter();
  header.uint32(GGUF_MAGIC);
  header.uint32(GGUF_VERSION);
  header.uint64(tensors.length);
  header.uint64(fields.length);
  for (const field of fields) header.field(field);
  let offset = 0;
  for (const { name, shape, type } of tensors) {
    header.string(name);
    header.uint32(shape.length);
    for (const extent of [...shape].reverse()) header.uint64(extent);
    header.uint32(TENSOR_TYPES[type].code);
    header.uint64(offset);
    offset = aligned(offset + byteSize(shape, type));
  }
  await writeAtomically(path, async (file) => {
    const front = header.bytes();
    await file.writeFile(front);
    await file.writeFile(Buffer.alloc(aligned(front.length) - front.length));
    for (const tensor of tensors) {
      const bytes = tensor.bytes();
      const expected = byteSize(tensor.shape, tensor.type);
      if (bytes.length !== expected) {
        throw new ModelError(
          'gguf-write',
          `internal: ${tensor.name} has ${bytes.length} bytes, expected ${expected}.`,
        );
      }
      await file.writeFile(bytes);
      await file.writeFile(Buffer.alloc(aligned(bytes.length) - bytes.length));
    }
  });
}

function byteSize(shape: readonly number[], type: TensorTypeName): number {
  const { block, bytes } = TENSOR_TYPES[type];
  return (shape.reduce((product, extent) => product * extent, 1) / block) * bytes;
}

function aligned(position: number): number {
  return Math.ceil(position / DEFAULT_ALIGNMENT) * DEFAULT_ALIGNMENT;
}

class HeaderWriter {
  readonly #parts: Buffer[] = [];

  bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }

  uint32(value: number): void {
    this.#parts.push(ENCODERS.uint32(value));
  }

  uint64(value: number): void {
    this.#parts.push(ENCODERS.uint64(value));
  }

  string(value: string): void {
    this.#parts.push(ENCODERS.string(value));
  }

  field(field: GgufField): void {
    this.string(field.key);
    this.uint32(VALUE_TYPES.indexOf(field.type));
    if (field.type !== 'array') {
      this.#parts.push(ENCODERS[field.type](field.value));
      return;
    }
    this.uint32(VALUE_TYPES.indexOf(field.items));
    this.uint64(field.value.length);
    for (const item of field.value) this.#parts.push(ENCODERS[field.items](item));
  }
}

const ENCODERS: Record<Exclude<GgufValueType, 'array'>, (value: GgufScalar) => Buffer> = {
  uint8: (value) => bytesOf(1, (part) => part.writeUInt8(Number(value))),
  int8: (value) => bytesOf(1, (part) => part.writeInt8(Number(value))),
  uint16: (value) => bytesOf(2, (part) => part.writeUInt16LE(Number(value))),
  int16: (value) => bytesOf(2, (part) => part.writeInt16LE(Number(value))),
  uint32: (value) => bytesOf(4, (part) => part.writeUInt32LE(Number(value))),
  int32: (value) => bytesOf(4, (part) => part.writeInt32LE(Number(value))),
  float32: (value) => bytesOf(4, (part) => part.writeFloatLE(Number(value))),
  bool: (value) => bytesOf(1, (part) => part.writeUInt8(value === true ? 1 : 0)),
  string(value) {
    const text = Buffer.from(String(value), 'utf8');
    return Buffer.concat([ENCODERS.uint64(text.length), text]);
  },
  uint64: (value) => bytesOf(8, (part) => part.writeBigUInt64LE(BigInt(value))),
  int64: (value) => bytesOf(8, (part) => part.writeBigInt64LE(BigInt(value))),
  float64: (value) => bytesOf(8, (part) => part.writeDoubleLE(Number(value))),
};

function bytesOf(length: number, write: (part: Buffer) => void): Buffer {
  const part = Buffer.alloc(length);
  write(part);
  return part;
}
