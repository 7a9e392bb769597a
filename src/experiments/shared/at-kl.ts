/** A model at one place of a frontier. */
export interface KlPoint {
  readonly kl: number;
  readonly value: number;
}

/** Values recorded one after the other while a model moves away from its reference. */
export interface KlPath {
  readonly kl: readonly number[];
  readonly value: readonly number[];
}

/** The value at a KL on a frontier, whatever the order of its points; undefined where the frontier does not reach. */
export function valueAtKl(points: readonly KlPoint[], kl: number): number | undefined {
  const sorted = [...points].sort((a, b) => a.kl - b.kl);
  return valueWhenKlReaches({ kl: sorted.map((one) => one.kl), value: sorted.map((one) => one.value) }, kl);
}

/**
 * The value where KL first reaches a level along a path, straight between the records around it. Undefined when it never
 * does, and when it had passed the level before the first record.
 */
export function valueWhenKlReaches({ kl, value }: KlPath, level: number): number | undefined {
  const after = kl.findIndex((one) => one >= level);
  if (after < 0) return undefined;
  if (kl[after] === level) return value[after];
  if (after === 0) return undefined;
  const before = after - 1;
  const share = (level - kl[before]!) / (kl[after]! - kl[before]!);
  return value[before]! + share * (value[after]! - value[before]!);
}
