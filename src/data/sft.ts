import type { Dataset, SftExample } from './contract.ts';
import { RowError } from './fields.ts';
import type { Draft } from './formats/contract.ts';
import { asChat, asText } from './formats/dialogue.ts';
import { SFT_FORMATS } from './formats/sft.ts';
import { type LoadPairsOptions, resolveStyle } from './pairs.ts';
import { readExamples } from './read.ts';
import { openSource } from './sources/index.ts';
import { plainText } from './text.ts';

/**
 * Loads what supervised fine-tuning learns: `{prompt, completion}`, `{instruction, input?, output}`, `{messages}` (the
 * last reply is learned), `{text}` (all of it), a text file (a line an example), or the chosen side of preference pairs.
 * Options and errors as in `loadPairs`.
 */
export async function loadSft(
  source: string | readonly string[],
  options: LoadPairsOptions = {},
): Promise<Dataset<SftExample>> {
  const style = resolveStyle(options);
  const opened = await openSource(source, options.hub);
  const finish = ({ part: _, id: __, ...draft }: Draft<SftExample>, id: string): SftExample => {
    if (plainText(draft.completion).trim() === '')
      throw new RowError('empty-completion', 'the completion is empty');
    const convert = style === 'chat' ? asChat : style === 'text' ? asText : undefined;
    // Text without a prompt is learned as text in every style: nobody speaks in it.
    if (convert === undefined || draft.prompt === undefined) return { id, ...draft };
    const { prompt, chosen } = convert({ prompt: draft.prompt, chosen: draft.completion, rejected: '' });
    return { id, prompt, completion: chosen };
  };
  const dialogue = style === 'text' ? 'text' : 'chat';
  return readExamples(opened, { formats: SFT_FORMATS, dialogue, finish }, options);
}
