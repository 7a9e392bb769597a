import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ChatMessage } from '../../src/data/contract.ts';
import type { PairTokenizer } from '../../src/data/tokenize.ts';

/** Runs a test with files of its own, given by name, and removes them after it. */
export async function withFiles<T>(
  files: Readonly<Record<string, string | Uint8Array>>,
  run: (path: (name: string) => string) => Promise<T>,
): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'mallows-data-'));
  try {
    for (const [name, content] of Object.entries(files)) await writeFile(join(directory, name), content);
    return await run((name) => join(directory, name));
  } finally {
    await rm(directory, { recursive: true });
  }
}

export const jsonLines = (...rows: readonly unknown[]) =>
  rows.map((row) => `${JSON.stringify(row)}\n`).join('');

/**
 * A tokenizer small enough to follow by hand: a character a token (its code point), `ab` merged into one token (1000),
 * BOS 1, `</s>` 2, `<turn>` 3. A chat renders as `<turn>`, the role's first letter, the content, `</s>`, a line break.
 */
export class ToyTokenizer implements PairTokenizer {
  readonly eosToken = '</s>';

  encode(text: string, { addSpecialTokens = true } = {}): Int32Array {
    const ids = Array.from(
      text.matchAll(/<\/s>|<turn>|ab|[\s\S]/gu),
      ([token]) => SPECIAL.get(token) ?? token.codePointAt(0)!,
    );
    return Int32Array.from(addSpecialTokens ? [1, ...ids] : ids);
  }

  encodeChat(messages: readonly ChatMessage[], { addGenerationPrompt = false } = {}): Int32Array {
    const turns = messages.map(({ role, content }) => `<turn>${role[0]}${content}</s>\n`).join('');
    return this.encode(turns + (addGenerationPrompt ? '<turn>a' : ''), { addSpecialTokens: false });
  }
}

const SPECIAL = new Map([
  ['</s>', 2],
  ['<turn>', 3],
  ['ab', 1000],
]);
