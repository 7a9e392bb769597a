import type { TextOrChat } from './contract.ts';
import { ASSISTANT_TURN, isTranscript, toTranscript } from './formats/dialogue.ts';
import { hashValues } from './hash.ts';
import { plainText } from './text.ts';

const USER_TURN = '\n\nHuman:';

/**
 * A prompt as the transcript that a model without a chat template reads, white space aside. The same prompt has the same
 * one however a file writes it: as text (one turn), as turns, or as a transcript.
 */
export function promptWriting(prompt: TextOrChat): string {
  return transcriptOf(prompt).replace(/\s+/g, ' ').trim();
}

/** Names a prompt in files and groups its pairs: its writings have one key in every run. 16 hex digits. */
export function promptKey(prompt: TextOrChat): string {
  return hashValues([promptWriting(prompt)]).slice(0, 16);
}

/**
 * The first row of each prompt. Pairs often repeat a prompt; its answers would count as independent evidence in every
 * later comparison.
 */
export function distinctPrompts<Asked extends { readonly prompt: TextOrChat }>(
  rows: readonly Asked[],
): Asked[] {
  const first = new Map<string, Asked>();
  for (const row of rows) {
    const key = promptKey(row.prompt);
    if (!first.has(key)) first.set(key, row);
  }
  return [...first.values()];
}

/** What a person asked last, for people to read; templates and earlier turns only hide it. */
export function lastTurn(prompt: TextOrChat): string {
  if (typeof prompt !== 'string') {
    return prompt.findLast(({ role }) => role === 'user')?.content ?? plainText(prompt);
  }
  const transcript = asTranscript(prompt);
  const start = transcript?.lastIndexOf(USER_TURN) ?? -1;
  if (transcript === undefined || start < 0) return prompt;
  const [asked = ''] = transcript.slice(start + USER_TURN.length).split(ASSISTANT_TURN);
  return asked.trim();
}

function transcriptOf(prompt: TextOrChat): string {
  if (typeof prompt === 'string') {
    return asTranscript(prompt) ?? toTranscript([{ role: 'user', content: prompt }], true);
  }
  const [turn, ...more] = prompt;
  // A user's only turn is the same as its text, also where that is a transcript.
  if (turn?.role === 'user' && more.length === 0) return transcriptOf(turn.content);
  return toTranscript(prompt, true);
}

/** Text that is a transcript from its beginning; white space before the first turn may have been cut off. */
function asTranscript(text: string): string | undefined {
  const whole = `\n\n${text.trimStart()}`;
  return /^\n\n(Human|System):/.test(whole) && isTranscript(whole) ? whole : undefined;
}
