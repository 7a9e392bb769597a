import { toByteCharacters } from './byte-level.ts';
import { isJsonObject, type JsonObject } from './json.ts';
import { SplitPreTokenizer } from './library.ts';
import { literalPattern } from './regexp.ts';

/** GPT-2's word pattern, which `ByteLevel` with `use_regex` applies. */
export const GPT2_PATTERN =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** Cuts a text into words, each of which the vocabulary's merges see alone. */
export interface WordSplitter {
  /** The words of a section of text, in order and without gaps. */
  split(text: string): string[];
  /** A word as the merges see it. */
  spell(word: string): string;
}

/**
 * The word splitter that a byte-level `pre_tokenizer` of tokenizer.json describes, or `undefined` for any other kind
 * (which the library's own pre-tokenizer then runs).
 *
 * Why not the library's own for these: words must be known before they are spelt in bytes, so that one map from words
 * to ids carries nearly all of a corpus; and its `Digits` and `ByteLevel` use JavaScript's `\d` and `\s`, which are not
 * Unicode's (½, ², U+0085, U+FEFF). Patterns are compiled by the library's `Split`, which does give them that meaning.
 */
export function byteLevelSplitter(config: unknown): WordSplitter | undefined {
  const stages = flatten(config);
  const last = stages?.at(-1);
  if (stages === undefined || last?.type !== 'ByteLevel') return undefined;
  const cuts: ((text: string) => string[])[] = [];
  for (const stage of stages) {
    const cut = stage === last ? byteLevelCut(stage) : cutOf(stage);
    if (cut === undefined) return undefined;
    cuts.push(cut);
  }
  return {
    split: (text) => cuts.reduce<string[]>((pieces, cut) => pieces.flatMap(cut), [text]),
    spell: toByteCharacters,
  };
}

function flatten(config: unknown): JsonObject[] | undefined {
  if (!isJsonObject(config)) return undefined;
  if (config.type !== 'Sequence') return [config];
  if (!Array.isArray(config.pretokenizers)) return undefined;
  const parts = config.pretokenizers.map(flatten);
  return parts.includes(undefined) ? undefined : parts.flatMap((part) => part!);
}

function byteLevelCut(stage: JsonObject): (text: string) => string[] {
  const split = stage.use_regex === false ? (text: string) => [text] : isolate(GPT2_PATTERN);
  if (stage.add_prefix_space !== true) return split;
  return (text) => split(text.startsWith(' ') ? text : ` ${text}`);
}

function cutOf(stage: JsonObject): ((text: string) => string[]) | undefined {
  if (stage.type === 'Digits') return isolate(stage.individual_digits === true ? '\\p{N}' : '\\p{N}+');
  if (stage.type !== 'Split' || stage.invert === true || stage.behavior !== 'Isolated') return undefined;
  const pattern = isJsonObject(stage.pattern) ? stage.pattern : {};
  if (typeof pattern.Regex === 'string') return isolate(pattern.Regex);
  return typeof pattern.String === 'string' ? isolate(literalPattern(pattern.String)) : undefined;
}

/** Cuts at both ends of every match: matches and what lies between them become pieces. */
function isolate(regex: string): (text: string) => string[] {
  const pattern = new SplitPreTokenizer({
    type: 'Split',
    pattern: { Regex: regex },
    behavior: 'Isolated',
    invert: false,
  }).pattern;
  return (text) => {
    const pieces: string[] = [];
    let from = 0;
    pattern.lastIndex = 0;
    for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
      const end = pattern.lastIndex;
      if (end === match.index) {
        pattern.lastIndex++;
        continue;
      }
      if (match.index > from) pieces.push(text.slice(from, match.index));
      pieces.push(match[0]);
      from = end;
    }
    if (from < text.length) pieces.push(text.slice(from));
    return pieces;
  };
}
