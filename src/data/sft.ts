import type { Dataset, SftExample, TextOrChat } from './contract.ts';
import { RowError } from './fields.ts';
import type { Draft } from './formats/contract.ts';
import { asChat, asText, toTranscript } from './formats/dialogue.ts';
import { SFT_FORMATS } from './formats/sft.ts';
import { type LoadPairsOptions, resolveStyle } from './pairs.ts';
import { readExamples } from './read.ts';
import { type DataSource, openSource } from './sources/index.ts';
import { plainText } from './text.ts';

/** Text that has no prompt is learned as it is in every style: nobody speaks in it. */
const asTranscript = (completion: TextOrChat) =>
  typeof completion === 'string' ? completion : toTranscript(completion);

/**
 * Loads what supervised fine-tuning learns: `{prompt, completion}`, `{instruction, input?, output}`, `{messages}` (the
 * last reply is learned), `{text}` or `{completion}` alone (all of it), a text file (a line an example), or the chosen side of preference pairs.
 * Options and errors as in `loadPairs`.
 */
export async function loadSft(
  source: DataSource,
  options: LoadPairsOptions = {},
): Promise<Dataset<SftExample>> {
  const style = resolveStyle(options);
  const opened = await openSource(source, options.hub);
  const finish = ({ part: _, id: __, ...draft }: Draft<SftExample>, id: string): SftExample => {
    if (plainText(draft.completion).trim() === '')
      throw new RowError('empty-completion', 'the completion is empty');
    const convert = style === 'chat' ? asChat : style === 'text' ? asText : undefined;
    const { prompt, completion } = draft;
    if (prompt === undefined)
      return { id, completion: style === 'text' ? asTranscript(completion) : completion };
    if (convert === undefined) return { id, ...draft };
    const converted = convert({ prompt, chosen: completion, rejected: '' });
    return { id, prompt: converted.prompt, completion: converted.chosen };
  };
  const dialogue = style === 'text' ? 'text' : 'chat';
  return readExamples(opened, { formats: SFT_FORMATS, dialogue, finish }, options);
}
