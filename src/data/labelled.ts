import type { Dataset, LabelledText } from './contract.ts';
import { RowError } from './fields.ts';
import { LABELLED_FORMATS } from './formats/labelled.ts';
import type { LoadPairsOptions } from './pairs.ts';
import { readExamples } from './read.ts';
import { type DataSource, openSource } from './sources/index.ts';

/** Loads texts with one of two labels, such as reviews with their sentiment. Options and errors as in `loadPairs`. */
export async function loadLabelled(
  source: DataSource,
  options: LoadPairsOptions = {},
): Promise<Dataset<LabelledText>> {
  const finish = (draft: Omit<LabelledText, 'id'>, id: string): LabelledText => {
    if (draft.text === '') throw new RowError('empty-completion', 'the text is empty');
    return { id, text: draft.text, label: draft.label };
  };
  return readExamples(
    await openSource(source, options.hub),
    { formats: LABELLED_FORMATS, dialogue: 'text', finish },
    options,
  );
}
