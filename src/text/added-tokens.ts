import { ModelError } from '../errors.ts';
import type { JsonObject } from './json.ts';
import { literalPattern } from './regexp.ts';

/** A token that is cut out of the text before anything else happens to it (tokenizer.json, `added_tokens`). */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
  /** Matched in the normalised text, in a second pass. */
  readonly normalized: boolean;
  /** White space to the left or right belongs to the token. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
}

/** A stretch of text, or an added token found in it. */
export type Section = string | AddedToken;

/** Reads `added_tokens`; `single_word`, which nothing here can honour, is refused by name. */
export function readAddedTokens(entries: readonly JsonObject[]): AddedToken[] {
  return entries.map((entry) => {
    const { id, content } = entry;
    if (typeof id !== 'number' || typeof content !== 'string') {
      throw new ModelError(
        'tokenizer-invalid',
        `tokenizer.json: an added token needs a number as id and a string as content, got ${JSON.stringify(entry)}.`,
      );
    }
    if (entry.single_word === true) {
      throw new ModelError(
        'tokenizer-unsupported',
        `tokenizer.json: the added token ${JSON.stringify(content)} has single_word: true, which is not supported.`,
      );
    }
    const special = entry.special === true;
    return {
      id,
      content,
      special,
      normalized: entry.normalized === undefined ? !special : entry.normalized === true,
      lstrip: entry.lstrip === true,
      rstrip: entry.rstrip === true,
    };
  });
}

/** Cuts added tokens out of a text: leftmost first, the longest of those that start at one place. */
export class AddedTokenSplitter {
  readonly #byContent: ReadonlyMap<string, AddedToken>;
  readonly #pattern: RegExp | undefined;

  /** `contentOf` gives what to look for, so that the second pass can look for the normalised content. */
  constructor(tokens: readonly AddedToken[], contentOf: (token: AddedToken) => string) {
    this.#byContent = new Map(tokens.map((token) => [contentOf(token), token]));
    const contents = [...this.#byContent.keys()].filter((content) => content !== '');
    contents.sort((a, b) => b.length - a.length);
    this.#pattern =
      contents.length === 0 ? undefined : new RegExp(contents.map(literalPattern).join('|'), 'gu');
  }

  split(text: string): Section[] {
    if (this.#pattern === undefined) return text === '' ? [] : [text];
    const sections: Section[] = [];
    let from = 0;
    for (const match of text.matchAll(this.#pattern)) {
      const token = this.#byContent.get(match[0])!;
      let before = text.slice(from, match.index);
      if (token.lstrip) before = before.replace(/\p{White_Space}+$/u, '');
      if (before !== '') sections.push(before);
      sections.push(token);
      from = match.index + match[0].length;
      if (token.rstrip) from += /^\p{White_Space}*/u.exec(text.slice(from))![0].length;
    }
    if (from < text.length) sections.push(text.slice(from));
    return sections;
  }
}
