import { extras, has, text } from '../fields.ts';
import type { PairFormat } from './contract.ts';
import { ASSISTANT_TURN, isTranscript, parseTranscript, splitConversations } from './dialogue.ts';

/**
 * Anthropic's Helpful and Harmless dialogues: two transcripts that differ in the last assistant turn. As text, prompt
 * and completions are cut from the transcript itself, so that not a space changes.
 */
export const hh: PairFormat = {
  name: 'hh',
  layout: '{chosen, rejected}: transcripts "\\n\\nHuman: … \\n\\nAssistant: …" that differ in the last turn',
  columns: ['chosen', 'rejected'],
  matches: (row) => !has(row, 'prompt') && isTranscript(row.chosen) && isTranscript(row.rejected),
  read(row, { dialogue }) {
    const [chosenText, rejectedText] = [text(row, 'chosen'), text(row, 'rejected')];
    const split = splitConversations(
      parseTranscript(chosenText, 'chosen'),
      parseTranscript(rejectedText, 'rejected'),
    );
    const pair =
      dialogue === 'chat'
        ? split
        : { prompt: head(chosenText), chosen: tail(chosenText), rejected: tail(rejectedText) };
    return [{ ...pair, ...extras(row, ['chosen', 'rejected']) }];
  },
};

const cut = (transcript: string) => transcript.lastIndexOf(ASSISTANT_TURN) + ASSISTANT_TURN.length;
const head = (transcript: string) => transcript.slice(0, cut(transcript));
const tail = (transcript: string) => transcript.slice(cut(transcript));
