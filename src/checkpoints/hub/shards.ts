/** `train-00000-of-00003.parquet`, perhaps with a hash before the extension. */
const SHARD = /^(.*-)(\d{5})-of-(\d{5})(?=[-.]|$)/;

/**
 * Shards that are missing among others, by the number that their names state: all that can be known of a repository
 * without a listing. They are named without what follows the numbers, which may be a hash.
 */
export function missingShards(paths: readonly string[]): string[] {
  const present = new Map<string, Set<number>>();
  for (const path of paths) {
    const [, stem, number, count] = SHARD.exec(path) ?? [];
    const series = `${stem}*-of-${count}`;
    if (count !== undefined) present.set(series, (present.get(series) ?? new Set()).add(Number(number)));
  }
  return [...present].flatMap(([series, numbers]) => {
    const count = Number(series.slice(-5));
    // Data sets mostly count from 0, weights from 1.
    const first = numbers.has(count) || /(^|\/)model-\*/.test(series) ? 1 : 0;
    return Array.from({ length: count }, (_, i) => first + i)
      .filter((number) => !numbers.has(number))
      .map((number) => series.replace('*', String(number).padStart(5, '0')));
  });
}
