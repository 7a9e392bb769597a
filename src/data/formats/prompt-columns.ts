import type { ChatMessage, TextOrChat } from '../contract.ts';
import { firstOf, list, optionalText, RowError, states, textOrChat } from '../fields.ts';
import type { Row } from '../sources/contract.ts';
import { excerpt, plainText } from '../text.ts';

/** Column names in use for what is asked; the first is ours. */
export const PROMPT_COLUMNS: readonly string[] = ['prompt', 'question', 'instruction'];

const SYSTEM_COLUMNS = ['system', 'system_prompt'];

/** Columns that say more of the prompt. */
export const CONTEXT_COLUMNS: readonly string[] = [...SYSTEM_COLUMNS, 'history', 'input'];

/**
 * All that a row asks: an instruction with its `input`, after the row's `system` prompt and `history`. Rows with a column
 * for one of the latter are chats, also where it is empty, so that the rows of a data set are of one kind.
 */
export function promptOf(row: Row, column = firstOf(row, PROMPT_COLUMNS) ?? 'prompt'): TextOrChat {
  const stated = textOrChat(row, column);
  const input = optionalText(row, 'input');
  const joined = column === 'instruction' && typeof stated === 'string' && input?.trim();
  const asked = joined ? `${stated}\n\n${input}` : stated;
  const chat = [...SYSTEM_COLUMNS, 'history'].some((name) => Object.hasOwn(row, name));
  if (typeof asked !== 'string' || chat) return withContext(row, asTurns(asked));
  requireInput(row, asked);
  return asked;
}

/** The same as messages, whatever the row holds. */
export function chatPromptOf(row: Row, column: string): readonly ChatMessage[] {
  const prompt = promptOf(row, column);
  return typeof prompt === 'string' ? asTurns(prompt) : prompt;
}

/** A prompt's turns after the system prompt and the history that the row states for it. */
export function withContext(row: Row, turns: readonly ChatMessage[]): readonly ChatMessage[] {
  requireInput(row, turns);
  const own = turns[0]?.role === 'system' ? turns.slice(0, 1) : [];
  const stated = SYSTEM_COLUMNS.map((column) => optionalText(row, column)).find((text) => text?.trim());
  if (stated !== undefined && own[0] !== undefined && own[0].content !== stated) {
    throw new RowError(
      'wrong-type',
      `two system prompts: ${excerpt(stated, 40)} in its column, ${excerpt(own[0].content, 40)} in the messages`,
    );
  }
  const system = stated === undefined ? own : [{ role: 'system', content: stated } as const];
  return [...system, ...history(row), ...turns.slice(own.length)];
}

const asTurns = (asked: TextOrChat): readonly ChatMessage[] =>
  typeof asked === 'string' ? [{ role: 'user', content: asked }] : asked;

/** Only an instruction is followed by its input; of any other prompt it must be a part already. */
function requireInput(row: Row, asked: TextOrChat): void {
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
