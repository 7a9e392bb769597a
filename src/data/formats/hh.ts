import { extras, has, ownId, text } from '../fields.ts';
import type { Row } from '../sources/contract.ts';
import type { FormatContext, PairFormat } from './contract.ts';
import {
  ASSISTANT_TURN,
  type Conversation,
  isTranscript,
  parseTranscript,
  splitConversations,
} from './dialogue.ts';

/**
 * Anthropic's Helpful and Harmless dialogues: two transcripts that differ in the last assistant turn. As text, prompt
 * and completions are cut from the transcript itself, so that not a space changes.
 */
export const hh: PairFormat = {
  name: 'hh',
  layout: '{chosen, rejected}: transcripts "\\n\\nHuman: … \\n\\nAssistant: …" that differ in the last turn',
  columns: ['chosen', 'rejected'],
  matches: (row) => !has(row, 'prompt') && isTranscript(row.chosen) && isTranscript(row.rejected),
  read: (row, context) => [{ ...dialogues(row, context), ...extras(row, ['chosen', 'rejected']) }],
  readPrompt: (row, context) => ({ ...ownId(row), prompt: dialogues(row, context).prompt }),
};

function dialogues(row: Row, { dialogue }: FormatContext): Conversation {
  const [chosen, rejected] = [text(row, 'chosen'), text(row, 'rejected')];
  const split = splitConversations(parseTranscript(chosen, 'chosen'), parseTranscript(rejected, 'rejected'));
  if (dialogue === 'chat') return split;
  return { prompt: head(chosen), chosen: tail(chosen), rejected: tail(rejected) };
}

const cut = (transcript: string) => transcript.lastIndexOf(ASSISTANT_TURN) + ASSISTANT_TURN.length;
const head = (transcript: string) => transcript.slice(0, cut(transcript));
const tail = (transcript: string) => transcript.slice(cut(transcript));
