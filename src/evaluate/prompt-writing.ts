import { isTranscript, toTranscript } from '../data/formats/dialogue.ts';
import type { TextOrChat } from '../data/index.ts';

/**
 * A prompt as the transcript that a model without a chat template reads, white space aside. The same prompt has the same
 * one however a file writes it: as text (one turn), as turns, or as a transcript.
 */
export function promptWriting(prompt: TextOrChat): string {
  return transcriptOf(prompt).replace(/\s+/g, ' ').trim();
}

function transcriptOf(prompt: TextOrChat): string {
  if (typeof prompt !== 'string') {
    const [turn, ...more] = prompt;
    // A user's only turn is the same as its text, also where that is a transcript.
    if (turn?.role === 'user' && more.length === 0) return transcriptOf(turn.content);
    return toTranscript(prompt, true);
  }
  // White space before the first turn may have been cut off.
  const text = `\n\n${prompt.trimStart()}`;
  return text.startsWith('\n\nHuman:') && isTranscript(text)
    ? prompt
    : toTranscript([{ role: 'user', content: prompt }], true);
}
