import type { BadRow } from '../data/index.ts';
import type { CliContext } from './context.ts';
import { plainLine } from './paint.ts';

const SHOWN_ROWS = 5;

/** What happened to the rows of a file, in a few lines on stderr, or above a line of progress. */
export async function noteRows(
  context: CliContext,
  rows: {
    readonly source: string;
    readonly format: string;
    readonly usable: number;
    readonly badRows: readonly BadRow[];
    readonly cut: { readonly examples: number; readonly tokens: number };
  },
  note: (text: string) => void = (text) => context.note(text),
): Promise<void> {
  const { countReasons, describeBadRow } = await import('../data/index.ts');
  const { source, format, usable, badRows, cut } = rows;
  note(`${source}: ${rowCount(usable)} (${format})`);
  if (cut.examples > 0)
    note(`  ${cut.examples} completions cut to the maximum length (${cut.tokens} tokens lost)`);
  if (badRows.length === 0) return;
  const reasons = Object.entries(countReasons(badRows)).map(([reason, count]) => `${count} ${reason}`);
  note(context.paint.yellow(`  ${rowCount(badRows.length)} left out: ${reasons.join(', ')}`));
  for (const row of badRows.slice(0, SHOWN_ROWS)) note(`    ${plainLine(describeBadRow(row), 160)}`);
  if (badRows.length > SHOWN_ROWS) note(`    and ${badRows.length - SHOWN_ROWS} more`);
}

function rowCount(count: number): string {
  return count === 1 ? '1 row' : `${count} rows`;
}
