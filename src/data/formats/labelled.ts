import type { LabelledText } from '../contract.ts';
import { firstOf, number, ownId, RowError, required, text } from '../fields.ts';
import type { Row } from '../sources/contract.ts';
import { excerpt } from '../text.ts';
import type { RowFormat } from './contract.ts';

const TEXT = ['review', 'text', 'sentence'];
const LABEL = ['sentiment', 'label'];
const WORDS: Readonly<Record<string, 0 | 1>> = { positive: 1, pos: 1, negative: 0, neg: 0 };

/** Texts of one of two kinds, as IMDB reviews come: `positive`/`negative`, or 1/0. HTML line breaks become line breaks. */
const labelled: RowFormat<LabelledText> = {
  name: 'labelled',
  layout: '{review, sentiment: positive | negative} (or text, label: 1 | 0)',
  columns: ['review', 'sentiment', 'text', 'label'],
  matches: (row) => firstOf(row, TEXT) !== undefined && firstOf(row, LABEL) !== undefined,
  read(row) {
    const written = text(row, firstOf(row, TEXT) ?? 'review');
    return [
      {
        ...ownId(row),
        text: written.replace(/\s*<br\s*\/?>\s*(?:<br\s*\/?>\s*)*/gi, '\n\n').trim(),
        label: labelOf(row, firstOf(row, LABEL) ?? 'sentiment'),
      },
    ];
  },
};

function labelOf(row: Row, column: string): 0 | 1 {
  const value = required(row, column);
  const word = typeof value === 'string' ? WORDS[value.trim().toLowerCase()] : undefined;
  const label = word ?? number(row, column);
  if (label === 0 || label === 1) return label;
  throw new RowError(
    'wrong-type',
    `"${column}" must be positive or negative (1 or 0), received ${excerpt(value, 40)}`,
  );
}

export const LABELLED_FORMATS: readonly RowFormat<LabelledText>[] = [labelled];
