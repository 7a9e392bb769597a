/** In the order of w(x), the lowest first. */
export const THIRDS = ['lowest', 'middle', 'highest'] as const;

export type Third = (typeof THIRDS)[number];

/** Each row's third by w(x), undefined where w(x) is. Rows of one w(x) are in one third, so that thirds may be unequal. */
export function thirdsOf(weights: readonly (number | undefined)[]): (Third | undefined)[] {
  const known = weights.filter((w) => w !== undefined).sort((a, b) => a - b);
  const [lower, upper] = [known[Math.floor(known.length / 3)], known[Math.floor((2 * known.length) / 3)]];
  return weights.map((w) => {
    if (w === undefined) return undefined;
    return w < lower! ? 'lowest' : w < upper! ? 'middle' : 'highest';
  });
}
