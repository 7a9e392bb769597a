import { readingOptions } from '../../config/reading.ts';
import type { PromptExample } from '../../data/index.ts';
import type { CliContext } from '../context.ts';
import { hubData } from '../model.ts';
import type { Columns } from '../options.ts';

/** Where prompts come from: one is given, or a file of them. */
export interface PromptOptions {
  readonly prompt?: string;
  readonly prompts?: string;
  readonly column?: Columns;
  /** A text is a user's turn. */
  readonly chat?: boolean;
}

/** The prompts to answer, each once. */
export async function readPrompts(
  context: CliContext,
  options: PromptOptions,
  chatTemplate: boolean,
): Promise<readonly PromptExample[]> {
  if (options.prompt !== undefined) {
    return [{ id: '0', prompt: options.chat ? [{ role: 'user', content: options.prompt }] : options.prompt }];
  }
  const { distinctPrompts, loadPrompts } = await import('../../data/index.ts');
  const reading = readingOptions(options.chat ? 'chat' : 'auto', {
    chatTemplate,
    strict: true,
    columns: options.column,
  });
  const { examples } = await loadPrompts(options.prompts!, { ...reading, hub: await hubData(context) });
  const distinct = distinctPrompts(examples);
  if (distinct.length < examples.length) {
    context.note(
      `${examples.length - distinct.length} of ${examples.length} rows repeat a prompt: it is answered once, under the id of its first row.`,
    );
  }
  return distinct;
}
