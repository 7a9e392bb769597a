import type { ChatMessage, ChatRole, TextOrChat } from '../contract.ts';
import { RowError } from '../fields.ts';
import { excerpt } from '../text.ts';

/** Turn names of Anthropic's transcripts, and of the text that dialogues become for models without a chat template. */
const TURN_NAMES: Readonly<Record<ChatRole, string>> = {
  system: 'System',
  user: 'Human',
  assistant: 'Assistant',
  tool: 'Tool',
};

const TURN = /\n\n(Human|Assistant):/;
export const ASSISTANT_TURN = '\n\nAssistant:';

/** Whether text is a transcript of Anthropic's layout: `\n\nHuman: … \n\nAssistant: …`. */
export function isTranscript(value: unknown): value is string {
  return typeof value === 'string' && value.includes('\n\nHuman:') && value.includes(ASSISTANT_TURN);
}

/** A transcript's turns. White space around a turn's content is the layout's, not the speaker's. */
export function parseTranscript(transcript: string, column: string): readonly ChatMessage[] {
  const [before = '', ...parts] = transcript.split(TURN);
  if (before.trim() !== '') {
    throw new RowError(
      'wrong-type',
      `"${column}" must begin with "\\n\\nHuman:", received ${excerpt(before, 60)}`,
    );
  }
  const turns: ChatMessage[] = [];
  for (let i = 0; i + 1 < parts.length; i += 2) {
    turns.push({ role: parts[i] === 'Human' ? 'user' : 'assistant', content: parts[i + 1]!.trim() });
  }
  return turns;
}

/** Messages as transcript text. With `open`, it ends where the assistant begins to speak. */
export function toTranscript(messages: readonly ChatMessage[], open = false): string {
  const turns = messages.map(({ role, content }) => `\n\n${TURN_NAMES[role]}: ${content}`);
  return turns.join('') + (open ? ASSISTANT_TURN : '');
}

/** A completion as transcript text: what follows `\n\nAssistant:`. */
export function completionText(messages: readonly ChatMessage[]): string {
  return toTranscript(messages).slice(ASSISTANT_TURN.length);
}

export interface Conversation {
  readonly prompt: TextOrChat;
  readonly chosen: TextOrChat;
  readonly rejected: TextOrChat;
}

/** Text beside messages becomes a turn too; all text stays text. */
export function inOneStyle(pair: Conversation): Conversation {
  const { prompt, chosen, rejected } = pair;
  return [prompt, chosen, rejected].every((value) => typeof value === 'string') ? pair : asChat(pair);
}

/** Plain texts as a chat of one user turn and one assistant turn. */
export function asChat({ prompt, chosen, rejected }: Conversation): Conversation {
  const wrap = (value: TextOrChat, role: ChatRole) =>
    typeof value === 'string' ? [{ role, content: value }] : value;
  return {
    prompt: wrap(prompt, 'user'),
    chosen: wrap(chosen, 'assistant'),
    rejected: wrap(rejected, 'assistant'),
  };
}

/** Messages as transcript text; plain text stays as it is. */
export function asText({ prompt, chosen, rejected }: Conversation): Conversation {
  const completion = (value: TextOrChat) => (typeof value === 'string' ? value : completionText(value));
  return {
    prompt: typeof prompt === 'string' ? prompt : toTranscript(prompt, true),
    chosen: completion(chosen),
    rejected: completion(rejected),
  };
}

/** Whether a conversation begins with these turns. */
export function beginsWith(conversation: readonly ChatMessage[], turns: readonly ChatMessage[]): boolean {
  return turns.every(({ role, content }, i) => {
    const same = conversation[i];
    return same !== undefined && same.role === role && same.content === content;
  });
}

/**
 * Splits two conversations where they part: what they share is the prompt, the last turn of each its completion. Equal
 * conversations have equal completions. Throws `RowError` when they share nothing, or part before the assistant's last turn.
 */
export function splitConversations(chosen: readonly ChatMessage[], rejected: readonly ChatMessage[]) {
  let shared = 0;
  while (
    shared < Math.min(chosen.length, rejected.length) &&
    chosen[shared]!.role === rejected[shared]!.role &&
    chosen[shared]!.content === rejected[shared]!.content
  ) {
    shared++;
  }
  if (shared === chosen.length && shared === rejected.length) shared--;
  const [next, other] = [chosen[shared], rejected[shared]];
  if (shared <= 0 || next?.role !== 'assistant' || other?.role !== 'assistant') {
    const turn = (message?: ChatMessage) =>
      message ? `${message.role}: ${excerpt(message.content, 40)}` : 'the end';
    throw new RowError(
      'transcripts-diverge',
      `they part at turn ${Math.max(shared, 0) + 1}, which must be the assistant's in both: ${turn(next)} against ${turn(other)}`,
    );
  }
  if (chosen.length > shared + 1 || rejected.length > shared + 1) {
    throw new RowError('transcripts-diverge', `they part at turn ${shared + 1}, before the last turn`);
  }
  return { prompt: chosen.slice(0, shared), chosen: chosen.slice(shared), rejected: rejected.slice(shared) };
}
