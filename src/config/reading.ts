import type { LoadPairsOptions, PairStyle } from '../data/index.ts';

/** `format` says how completions are written (`chat`, `text`) or names a data layout (`hh`, `generic`, …). */
export function readingOptions(
  format: string,
  {
    columns,
    ...options
  }: Pick<LoadPairsOptions, 'chatTemplate' | 'strict'> & {
    readonly columns?: LoadPairsOptions['columns'] | undefined;
  },
): LoadPairsOptions {
  const styles: readonly string[] = ['auto', 'chat', 'text'] satisfies PairStyle[];
  return {
    ...options,
    ...(columns !== undefined && { columns }),
    ...(styles.includes(format) ? { style: format as PairStyle } : { format }),
  };
}
