import { excerpt } from '../text.ts';
import { decodeUtf8, InvalidText } from './bytes.ts';
import type { Row, SourceRow } from './contract.ts';

/** A value as a row; anything but an object is none. */
export function asRow(value: unknown, file: string, line: number): SourceRow {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return { file, line, row: value as Row };
  }
  return { file, line, reason: 'wrong-type', detail: `expected an object, received ${excerpt(value, 60)}` };
}

/**
 * A single value as JSON says it, which is what the formats expect: whole numbers that came as BigInt, times, and
 * text that came as bytes. Whole numbers that a double does not hold (64-bit ids) become text.
 */
export function jsonScalar(value: unknown): unknown {
  if (typeof value === 'bigint') {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : String(value);
  }
  if (value instanceof Uint8Array) return decodeUtf8(value) ?? new InvalidText(value);
  return value instanceof Date ? value.toJSON() : value;
}
