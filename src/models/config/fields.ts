import { z } from 'zod';
import { ModelError } from '../../errors.ts';
import { ACTIVATION_NAMES, type ActivationName } from '../../nn/activations.ts';

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Typed access to the fields of a `config.json` that collects problems instead of stopping at the first. */
export class ConfigFields {
  readonly raw: Readonly<Record<string, unknown>>;
  readonly #problems: string[];
  readonly #taken = new Set<string>();

  constructor(raw: Readonly<Record<string, unknown>>, parent?: ConfigFields) {
    this.raw = raw;
    this.#problems = parent === undefined ? [] : parent.#problems;
  }

  /** Whether a value was taken from this field, or would have been. */
  wasRead(name: string): boolean {
    return this.#taken.has(name);
  }

  has(name: string): boolean {
    return this.raw[name] !== undefined && this.raw[name] !== null;
  }

  problem(text: string): void {
    this.#problems.push(text);
  }

  throwIfAny(modelType: string): void {
    if (this.#problems.length === 0) return;
    throw new ModelError(
      'unsupported-option',
      `config.json of this ${modelType} model cannot be honoured exactly:\n  - ${this.#problems.join('\n  - ')}`,
      { hint: 'Use a checkpoint without these options, or correct config.json if it is wrong.' },
    );
  }

  /** A positive whole number. `whenNull` replaces an explicit null. */
  size(name: string, fallback?: number, whenNull = fallback): number {
    return this.#take(name, z.int().positive(), 'a positive whole number', fallback, whenNull);
  }

  /** A whole number, zero included. */
  count(name: string, fallback: number): number {
    return this.#take(name, z.int().nonnegative(), 'a whole number', fallback, fallback);
  }

  number(name: string, fallback?: number): number {
    return this.#take(name, z.number(), 'a finite number', fallback, fallback);
  }

  flag(name: string, fallback: boolean): boolean {
    return this.#take(name, z.boolean(), 'true or false', fallback, fallback);
  }

  activation(name: string, fallback: ActivationName): ActivationName {
    return this.#take(
      name,
      z.enum(ACTIVATION_NAMES),
      `one of ${ACTIVATION_NAMES.join(', ')}`,
      fallback,
      fallback,
    );
  }

  tokenId(name: string, fallback: number | undefined): number | undefined {
    if (this.raw[name] === null) return undefined;
    if (this.raw[name] === undefined) return fallback;
    return this.#take(name, z.int(), 'a token id', 0, 0);
  }

  /** Refuses a field that this architecture has no use for unless it says what would have no effect. */
  refuseUnless(name: string, ...neutral: readonly unknown[]): void {
    const value = this.raw[name];
    if (value === undefined || value === null || neutral.includes(value)) return;
    this.problem(`${name} = ${JSON.stringify(value)} is not part of this architecture`);
  }

  /** A value of another form; `whenNull` replaces an explicit null. */
  value<T>(name: string, schema: z.ZodType<T>, expected: string, fallback?: T): T {
    return this.#take(name, schema, expected, fallback, fallback);
  }

  #take<T>(
    name: string,
    schema: z.ZodType<T>,
    expected: string,
    fallback: T | undefined,
    whenNull: T | undefined,
  ): T {
    this.#taken.add(name);
    const value = this.raw[name];
    if (value === undefined && fallback !== undefined) return fallback;
    if (value === null && whenNull !== undefined) return whenNull;
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    const got = value === undefined ? 'it is missing' : `got ${JSON.stringify(value)}`;
    this.problem(`${name} must be ${expected}, ${got}`);
    return (fallback ?? 1) as T;
  }
}
