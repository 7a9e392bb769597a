import type { ChatMessage, TextOrChat } from '../contract.ts';
import { firstOf, list, optionalText, RowError, refuseTools, states, textOrChat } from '../fields.ts';
import type { Row } from '../sources/contract.ts';
import { excerpt, plainText } from '../text.ts';
import { beginsWith } from './dialogue.ts';

/** Column names in use for what is asked; the first is ours. */
export const PROMPT_COLUMNS: readonly string[] = ['prompt', 'question', 'instruction'];

const SYSTEM_COLUMNS = ['system', 'system_prompt'];

/** Columns that say more of the prompt. */
export const CONTEXT_COLUMNS: readonly string[] = [...SYSTEM_COLUMNS, 'history', 'input'];

/** The first of the columns that the row has; `prompt` is missed where it has none. */
export function promptColumn(row: Row, columns = PROMPT_COLUMNS): string {
  return firstOf(row, columns) ?? 'prompt';
}

/**
 * All that a row asks: an instruction with its `input`, after the row's `system` prompt and `history`. Rows with a column
 * for one of the latter are chats, also where it is empty, so that the rows of a data set are of one kind.
 */
export function promptOf(row: Row, column: string): TextOrChat {
  const asked = question(row, column);
  const chat = [...SYSTEM_COLUMNS, 'history'].some((name) => Object.hasOwn(row, name));
  if (typeof asked !== 'string' || chat) return withContext(row, asTurns(asked));
  requireAllRead(row, asked);
  return asked;
}

/** The same as messages, whatever the row holds. */
export function chatPromptOf(row: Row, column: string): readonly ChatMessage[] {
  return asTurns(promptOf(row, column));
}

/** What a prompt's column itself asks, with an instruction's input, as turns. */
export function questionTurns(row: Row, column: string): readonly ChatMessage[] {
  return asTurns(question(row, column));
}

function question(row: Row, column: string): TextOrChat {
  const stated = textOrChat(row, column);
  const input = optionalText(row, 'input');
  const joined = column === 'instruction' && typeof stated === 'string' && input?.trim();
  return joined ? `${stated}\n\n${input}` : stated;
}

/** A prompt's turns after the system prompt and the history that the row states for it, unless they hold them already. */
export function withContext(row: Row, turns: readonly ChatMessage[]): readonly ChatMessage[] {
  requireAllRead(row, turns);
  const own = turns[0]?.role === 'system' ? turns.slice(0, 1) : [];
  const stated = systemPrompt(row, own[0]);
  const system = stated === undefined ? own : [{ role: 'system', content: stated } as const];
  const asked = turns.slice(own.length);
  const before = history(row);
  return [...system, ...(beginsWith(asked, before) ? [] : before), ...asked];
}

/** The one system prompt that a row states, in columns or as its messages' first. */
function systemPrompt(row: Row, own: ChatMessage | undefined): string | undefined {
  const places = [
    ...SYSTEM_COLUMNS.map((column) => ({ where: `"${column}"`, content: optionalText(row, column) })),
    { where: 'the messages', content: own?.content },
  ];
  const [stated, ...more] = places.filter(({ content }) => content?.trim());
  const other = more.find(({ content }) => content !== stated?.content);
  if (stated === undefined || other === undefined) return stated?.content;
  throw new RowError(
    'wrong-type',
    `two system prompts: ${excerpt(stated.content, 40)} in ${stated.where}, ${excerpt(other.content, 40)} in ${other.where}`,
  );
}

const asTurns = (asked: TextOrChat): readonly ChatMessage[] =>
  typeof asked === 'string' ? [{ role: 'user', content: asked }] : asked;

/** Only an instruction is followed by its input; of any other prompt it must be a part already. Tools never are. */
function requireAllRead(row: Row, asked: TextOrChat): void {
  refuseTools(row);
  const input = optionalText(row, 'input')?.trim();
  if (!input || plainText(asked).includes(input)) return;
  throw new RowError(
    'wrong-type',
    `"input" is no part of the prompt: name the prompt "instruction" to join them, or rename "input"; received ${excerpt(input, 60)}`,
  );
}

/** Earlier turns as LLaMA-Factory writes them: `[[user, assistant], …]`. */
function history(row: Row): readonly ChatMessage[] {
  if (!states(row, 'history')) return [];
  return list(row, 'history').flatMap((turn): ChatMessage[] => {
    const [user, assistant, ...more] = Array.isArray(turn) ? turn : [];
    if (typeof user === 'string' && typeof assistant === 'string' && more.length === 0) {
      return [
        { role: 'user', content: user },
        { role: 'assistant', content: assistant },
      ];
    }
    throw new RowError(
      'wrong-type',
      `"history" must be [[user, assistant], …], received ${excerpt(turn, 60)}`,
    );
  });
}
