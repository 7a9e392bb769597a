import type { Dataset, PromptExample } from './contract.ts';
import type { Draft } from './formats/contract.ts';
import { toTranscript } from './formats/dialogue.ts';
import { PROMPT_FORMATS } from './formats/prompts.ts';
import { type LoadPairsOptions, resolveStyle } from './pairs.ts';
import { readExamples } from './read.ts';
import { type DataSource, openSource } from './sources/index.ts';

/**
 * Loads prompts to generate for: `{prompt}`, `{messages}`, `{instruction, input?}`, the prompts of preference pairs, or
 * a text file (a line a prompt). Options and errors as in `loadPairs`; style `chat` makes a text prompt the user's turn.
 */
export async function loadPrompts(
  source: DataSource,
  options: LoadPairsOptions = {},
): Promise<Dataset<PromptExample>> {
  const style = resolveStyle(options);
  const opened = await openSource(source, options.hub);
  const finish = ({ part: _, id: __, prompt }: Draft<PromptExample>, id: string): PromptExample => {
    if (style === 'chat' && typeof prompt === 'string')
      return { id, prompt: [{ role: 'user', content: prompt }] };
    if (style === 'text' && typeof prompt !== 'string') return { id, prompt: toTranscript(prompt, true) };
    return { id, prompt };
  };
  const dialogue = style === 'text' ? 'text' : 'chat';
  return readExamples(opened, { formats: PROMPT_FORMATS, dialogue, finish }, options);
}
