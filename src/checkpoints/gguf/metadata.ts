import { ModelError } from '../../errors.ts';
import type { GgufScalar, GgufValue } from './format.ts';

/** Typed reading of metadata; a value of the wrong kind is an error that names its key. */
export class Metadata {
  readonly #values: ReadonlyMap<string, GgufValue>;
  readonly #path: string;

  constructor(values: ReadonlyMap<string, GgufValue>, path: string) {
    this.#values = values;
    this.#path = path;
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  number(key: string): number | undefined {
    return this.#typed(key, 'number');
  }

  requireNumber(key: string): number {
    return this.number(key) ?? this.#missing(key);
  }

  text(key: string): string | undefined {
    return this.#typed(key, 'string');
  }

  requireText(key: string): string {
    return this.text(key) ?? this.#missing(key);
  }

  flag(key: string): boolean | undefined {
    return this.#typed(key, 'boolean');
  }

  numbers(key: string): readonly number[] | undefined {
    return this.#list(key, 'number');
  }

  flags(key: string): readonly boolean[] | undefined {
    return this.#list(key, 'boolean');
  }

  isList(key: string): boolean {
    return Array.isArray(this.#values.get(key));
  }

  texts(key: string): readonly string[] | undefined {
    return this.#list(key, 'string');
  }

  /** A number that may also be given as one value a layer; layers that differ are refused. */
  sameForAllLayers(key: string): number | undefined {
    const value = this.#values.get(key);
    if (!Array.isArray(value)) return this.number(key);
    const [first, ...rest] = this.numbers(key)!;
    if (first !== undefined && rest.every((other) => other === first)) return first;
    throw this.unsupported(`${key} differs between layers (${value.slice(0, 8).join(', ')}…)`);
  }

  /** A float32 as the decimal that was meant: 9.99999975e-06 is 1e-5. */
  float32(key: string): number | undefined {
    const value = this.number(key);
    return value === undefined ? undefined : shortestFloat32(value);
  }

  unsupported(problem: string): ModelError {
    return new ModelError('gguf-unsupported', `${this.#path}: ${problem}, which is not supported.`);
  }

  #typed<T extends 'number' | 'string' | 'boolean'>(key: string, type: T): TypeNamed<T> | undefined {
    const value = this.#values.get(key);
    if (value === undefined || typeof value === type) return value as TypeNamed<T> | undefined;
    throw this.#wrong(key, type, value);
  }

  #list<T extends 'number' | 'string' | 'boolean'>(
    key: string,
    type: T,
  ): readonly TypeNamed<T>[] | undefined {
    const value = this.#values.get(key);
    if (
      value === undefined ||
      (Array.isArray(value) && value.every((item: GgufScalar) => typeof item === type))
    ) {
      return value as readonly TypeNamed<T>[] | undefined;
    }
    throw this.#wrong(key, `list of ${type}s`, value);
  }

  #wrong(key: string, expected: string, value: GgufValue): ModelError {
    const received = Array.isArray(value) ? 'a list' : typeof value;
    return new ModelError(
      'gguf-invalid',
      `${this.#path}: ${key} should be a ${expected}, but is ${received}.`,
    );
  }

  #missing(key: string): never {
    throw new ModelError('gguf-invalid', `${this.#path} lacks the metadata ${key}.`, {
      hint: 'Convert the model again with a current llama.cpp.',
    });
  }
}

type TypeNamed<T> = T extends 'number' ? number : T extends 'string' ? string : boolean;

/** The decimal with the fewest digits that is this float32. */
export function shortestFloat32(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const candidate = Number(value.toPrecision(digits));
    if (Math.fround(candidate) === Math.fround(value)) return candidate;
  }
  return value;
}
