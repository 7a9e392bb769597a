import type { AddedToken } from './added-tokens.ts';
import { fromByteCharacters } from './byte-level.ts';
import { isJsonObject, type JsonObject } from './json.ts';

/** Token strings → text. */
export type TokenDecoder = (tokens: readonly string[]) => string;

const encoder = new TextEncoder();
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
const strictUtf8 = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true });

/**
 * The exact decoder for the two layouts that language models use, byte-level and SentencePiece with byte fallback, or
 * `undefined` for any other, which the library's then decodes. (The library's swallows byte-order marks.)
 */
export function exactDecoder(config: unknown, added: readonly AddedToken[]): TokenDecoder | undefined {
  if (!isJsonObject(config)) return undefined;
  if (config.type === 'ByteLevel') return byteLevelDecoder(new Set(added.map((token) => token.content)));
  const parts = config.type === 'Sequence' && Array.isArray(config.decoders) ? config.decoders : [];
  if (
    !parts.every(isJsonObject) ||
    parts
      .slice(0, 3)
      .map((part) => part.type)
      .join() !== 'Replace,ByteFallback,Fuse'
  )
    return undefined;
  const [replace, , , strip] = parts as JsonObject[];
  const space = isJsonObject(replace!.pattern) ? replace!.pattern.String : undefined;
  if (typeof space !== 'string' || replace!.content !== ' ' || parts.length > 4) return undefined;
  if (strip === undefined) return (tokens) => sentencePieceText(tokens, space);
  if (strip.type !== 'Strip' || strip.content !== ' ' || strip.start !== 1 || strip.stop !== 0)
    return undefined;
  return (tokens) => sentencePieceText(tokens, space).replace(/^ /, '');
}

/** Bytes of all tokens together, then UTF-8: a character may be spread over several tokens. */
function byteLevelDecoder(added: ReadonlySet<string>): TokenDecoder {
  return (tokens) => {
    const parts = tokens.map((token) =>
      added.has(token) ? encoder.encode(token) : (fromByteCharacters(token) ?? encoder.encode(token)),
    );
    return utf8.decode(Buffer.concat(parts));
  };
}

/** `<0x0A>` stands for a byte; a run of such tokens that is not UTF-8 becomes one U+FFFD a byte. */
function sentencePieceText(tokens: readonly string[], space: string): string {
  let text = '';
  let run: number[] = [];
  const flush = () => {
    if (run.length === 0) return;
    try {
      text += strictUtf8.decode(Uint8Array.from(run));
    } catch {
      text += '\uFFFD'.repeat(run.length);
    }
    run = [];
  };
  for (const token of tokens) {
    const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token);
    if (byte !== null) {
      run.push(Number.parseInt(byte[1]!, 16));
      continue;
    }
    flush();
    text += token.replaceAll(space, ' ');
  }
  flush();
  return text;
}
