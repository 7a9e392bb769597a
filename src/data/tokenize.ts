import { ModelError } from '../errors.ts';
import type { EncodeChatOptions } from '../text/index.ts';
import type {
  BadRow,
  ChatMessage,
  PreferencePair,
  SftExample,
  TextOrChat,
  TokenizedPair,
  TokenizedSequence,
} from './contract.ts';

/** What tokenising pairs needs of a tokenizer. */
export interface PairTokenizer {
  /** Text of the end-of-text token. */
  readonly eosToken: string | undefined;
  /** Token ids; with `addSpecialTokens` (the default) BOS is added unless the text has it. */
  encode(text: string, options?: { addSpecialTokens?: boolean }): Int32Array;
  /** Token ids of a conversation as the chat template renders it. */
  encodeChat(messages: readonly ChatMessage[], options?: EncodeChatOptions): Int32Array;
}

export interface TokenizeOptions {
  /** Tokens of prompt and completion together, at most. Default 1024. */
  readonly maxLength?: number;
  /** What chat templates that write the date take for now. Default: the time at which each text is tokenised. */
  readonly now?: Date | undefined;
}

export const DEFAULT_MAX_LENGTH = 1024;

/** Tokens of prompt and completion together where nobody says how many: 1024, or the model's context if that is shorter. */
export function defaultMaxLength({ maxPositions }: { readonly maxPositions: number }): number {
  return Math.min(DEFAULT_MAX_LENGTH, maxPositions);
}

/** Why an example cannot be used once it is tokens. */
export type TokenProblem = Pick<BadRow, 'reason' | 'detail'>;

/**
 * A pair as token ids, with TRL's boundary: prompt and prompt+completion are each tokenised whole, and the completion
 * begins after the longest common prefix of all three. A chat completion is what the template renders after the prompt,
 * closing tokens included; a text completion ends with the end-of-text token, once.
 *
 * A completion that reaches past `maxLength` loses its tail. Returned as a problem: a prompt that leaves no room for a
 * completion, completions that are equal as tokens (also after the cut), a completion of which nothing can be scored.
 *
 * Without a prompt token (an empty text prompt and no BOS) a completion's first token has nothing to be predicted from:
 * it is not scored, as in `transformers` and TRL.
 */
export function tokenizePair(
  pair: Pick<PreferencePair, 'id' | 'prompt' | 'chosen' | 'rejected'>,
  tokenizer: PairTokenizer,
  { maxLength = DEFAULT_MAX_LENGTH, now }: TokenizeOptions = {},
): TokenizedPair | TokenProblem {
  const prompt = encodePrompt(pair.prompt, tokenizer, now);
  const chosen = encodeWhole(pair.prompt, pair.chosen, tokenizer, now);
  const rejected = encodeWhole(pair.prompt, pair.rejected, tokenizer, now);
  const boundary = Math.min(commonPrefix(prompt, chosen), commonPrefix(prompt, rejected));
  if (boundary >= maxLength) return promptTooLong(boundary, maxLength);

  const sides = { chosen: chosen.slice(boundary, maxLength), rejected: rejected.slice(boundary, maxLength) };
  const cutTokens = Math.max(0, chosen.length - maxLength) + Math.max(0, rejected.length - maxLength);
  for (const [side, tokens] of Object.entries(sides)) {
    if (scoredTokens(boundary, tokens) === 0) {
      return { reason: 'empty-completion', detail: `"${side}" has no token that could be scored` };
    }
  }
  if (equal(sides.chosen, sides.rejected)) {
    const why = cutTokens > 0 ? `equal up to the maximum length of ${maxLength} tokens` : 'equal as tokens';
    return { reason: 'identical-completions', detail: why };
  }
  return {
    id: pair.id,
    prompt: prompt.slice(0, boundary),
    ...sides,
    movedTokens: prompt.length - boundary,
    cutTokens,
  };
}

/** A prompt with its completion, or plain text, as token ids; the boundary as in `tokenizePair`. */
export function tokenizeSequence(
  example: SftExample,
  tokenizer: PairTokenizer,
  { maxLength = DEFAULT_MAX_LENGTH, now }: TokenizeOptions = {},
): TokenizedSequence | TokenProblem {
  const promptText = example.prompt ?? '';
  const prompt = encodePrompt(promptText, tokenizer, now);
  const whole = encodeWhole(promptText, example.completion, tokenizer, now);
  const boundary = commonPrefix(prompt, whole);
  if (boundary >= maxLength) return promptTooLong(boundary, maxLength);
  const completion = whole.slice(boundary, maxLength);
  if (scoredTokens(boundary, completion) === 0) {
    return { reason: 'empty-completion', detail: 'the completion has no token that could be scored' };
  }
  const cutTokens = Math.max(0, whole.length - maxLength);
  return {
    id: example.id,
    prompt: prompt.slice(0, boundary),
    completion,
    movedTokens: prompt.length - boundary,
    cutTokens,
  };
}

/** What can be tokenised, by the name that it goes by between threads. */
export interface TokenKinds {
  readonly pairs: { readonly example: PreferencePair; readonly tokens: TokenizedPair };
  readonly sequences: { readonly example: SftExample; readonly tokens: TokenizedSequence };
}

export type TokenKind = keyof TokenKinds;

/** What became of each of a few examples. */
export type TokenResults<K extends TokenKind> = (TokenKinds[K]['tokens'] | TokenProblem)[];

/** A few examples as token ids. A conversation that the chat template refuses is a problem of that example alone. */
export function tokenizeExamples<K extends TokenKind>(
  kind: K,
  examples: readonly TokenKinds[K]['example'][],
  tokenizer: PairTokenizer,
  options: TokenizeOptions,
): TokenResults<K> {
  const tokenize = TOKENIZE[kind] as (...given: unknown[]) => TokenResults<K>[number];
  return examples.map((example) => refusalAsProblem(() => tokenize(example, tokenizer, options)));
}

const TOKENIZE = { pairs: tokenizePair, sequences: tokenizeSequence } as const;

/** A template may refuse one conversation (no system role, two user turns in a row) and render the next. */
function refusalAsProblem<T>(tokenize: () => T | TokenProblem): T | TokenProblem {
  try {
    return tokenize();
  } catch (error) {
    if (!(error instanceof ModelError) || error.code !== 'chat-template-render') throw error;
    return { reason: 'template-refuses', detail: error.message };
  }
}

/**
 * A prompt as token ids, ready for a completion: what generation starts from.
 *
 * @param now as in `TokenizeOptions`
 */
export function encodePrompt(prompt: TextOrChat, tokenizer: PairTokenizer, now?: Date): Int32Array {
  return typeof prompt === 'string'
    ? tokenizer.encode(prompt)
    : tokenizer.encodeChat(prompt, { addGenerationPrompt: true, ...(now && { now }) });
}

/** How many of a completion's tokens are scored: all, but for a first one that nothing precedes. */
export function scoredTokens(promptLength: number, completion: Int32Array): number {
  return completion.length - (promptLength === 0 && completion.length > 0 ? 1 : 0);
}

/** Whether tokenising gave a problem instead of tokens. */
export function isProblem<T extends object>(result: T | TokenProblem): result is TokenProblem {
  return 'reason' in result;
}

function encodeWhole(
  prompt: TextOrChat,
  completion: TextOrChat,
  tokenizer: PairTokenizer,
  now: Date | undefined,
): Int32Array {
  if (typeof completion === 'string') {
    if (typeof prompt !== 'string') throw mixed('messages', 'text');
    const end = endOfText(tokenizer);
    return tokenizer.encode(prompt + completion + (completion.endsWith(end) ? '' : end));
  }
  if (typeof prompt === 'string' && prompt !== '') throw mixed('text', 'messages');
  const messages = typeof prompt === 'string' ? completion : [...prompt, ...completion];
  return tokenizer.encodeChat(messages, now && { now });
}

function endOfText(tokenizer: PairTokenizer): string {
  if (tokenizer.eosToken !== undefined) return tokenizer.eosToken;
  throw new ModelError(
    'no-end-token',
    'The tokenizer has no end-of-text token, so a completion could not end.',
    {
      hint: 'Set eos_token in tokenizer_config.json.',
    },
  );
}

/** A programming error: loaders give both as text or both as messages. */
function mixed(prompt: string, completion: string): TypeError {
  return new TypeError(
    `The prompt is ${prompt} and the completion is ${completion}; both must be of one kind.`,
  );
}

function promptTooLong(promptLength: number, maxLength: number): TokenProblem {
  const detail = `the prompt has ${promptLength} tokens, the maximum length for prompt and completion is ${maxLength}`;
  return { reason: 'prompt-too-long', detail };
}

function commonPrefix(a: Int32Array, b: Int32Array): number {
  const shorter = Math.min(a.length, b.length);
  let length = 0;
  while (length < shorter && a[length] === b[length]) length++;
  return length;
}

function equal(a: Int32Array, b: Int32Array): boolean {
  return a.length === b.length && commonPrefix(a, b) === a.length;
}
