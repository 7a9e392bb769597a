import { ModelError } from '../../errors.ts';
import { isJsonObject, type JsonObject } from '../../text/json.ts';
import { GPT2_PATTERN } from '../../text/pre-tokenizer.ts';

/** How a byte-level tokenizer cuts text into words, and what goes with it, by llama.cpp's name for it. */
export interface NamedPreTokenizer {
  readonly names: readonly string[];
  readonly preTokenizer: JsonObject;
  readonly normalizer?: JsonObject;
  readonly ignoreMerges?: boolean;
  /** Whether texts begin with BOS when the file does not say. */
  readonly addBos?: boolean;
}

const LLAMA3_PATTERN =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const QWEN2_PATTERN =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const TEKKEN_PATTERN =
  '[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';

const NFC = { type: 'NFC' };
const gpt2Words = byteLevel(true);

/**
 * Where the original tokenizers normalise to NFC (Qwen2, GPT-NeoX), so does this, and so ids are those of
 * `transformers`; llama.cpp itself leaves that out.
 */
const PRE_TOKENIZERS: readonly NamedPreTokenizer[] = [
  { names: ['gpt-2', 'phi-2', 'jais', 'gigachat', 'roberta-bpe'], preTokenizer: gpt2Words },
  { names: ['olmo', 'mpt'], preTokenizer: gpt2Words, normalizer: NFC },
  {
    names: ['smollm', 'starcoder', 'refact', 'command-r', 'codeshell', 'exaone', 'minerva-7b'],
    preTokenizer: sequence({ type: 'Digits', individual_digits: true }, gpt2Words),
  },
  {
    names: ['llama-bpe', 'llama3', 'llama-v3', 'falcon3', 'pixtral'],
    preTokenizer: sequence(split(LLAMA3_PATTERN), byteLevel(false)),
    ignoreMerges: true,
    addBos: true,
  },
  { names: ['smaug-bpe', 'dbrx'], preTokenizer: sequence(split(LLAMA3_PATTERN), byteLevel(false)) },
  {
    names: ['qwen2', 'megrez', 'stablelm2'],
    preTokenizer: sequence(split(QWEN2_PATTERN), byteLevel(false)),
    normalizer: NFC,
  },
  { names: ['deepseek-r1-qwen'], preTokenizer: sequence(split(QWEN2_PATTERN), byteLevel(false)) },
  {
    names: ['tekken'],
    preTokenizer: sequence(split(TEKKEN_PATTERN), byteLevel(false)),
    ignoreMerges: true,
    addBos: true,
  },
  {
    names: ['falcon'],
    preTokenizer: sequence(
      split('[\\p{P}\\$\\+<=>\\^~\\|`]+'),
      split(GPT2_PATTERN),
      split('[0-9][0-9][0-9]'),
      byteLevel(false),
    ),
  },
  {
    names: ['default'],
    preTokenizer: sequence(
      split('[\\p{P}\\$\\+<=>\\^~\\|]+'),
      split(GPT2_PATTERN),
      split('\\p{N}+'),
      split('[0-9][0-9][0-9]'),
      byteLevel(false),
    ),
  },
];

/** Throws `gguf-unsupported` for a name that is not known: guessing would give wrong token ids. */
export function preTokenizerNamed(name: string, path: string): NamedPreTokenizer {
  const found = PRE_TOKENIZERS.find((entry) => entry.names.includes(name));
  if (found !== undefined) return found;
  const known = PRE_TOKENIZERS.flatMap((entry) => entry.names).join(', ');
  throw new ModelError(
    'gguf-unsupported',
    `${path} names the pre-tokenizer "${name}", which is not known here.`,
    {
      hint: `Known are ${known}. Use the model's Hugging Face directory instead.`,
    },
  );
}

/** llama.cpp's name for a tokenizer.json's way of normalising a text and cutting words, or undefined if it has none. */
export function nameOfPreTokenizer(
  preTokenizer: unknown,
  normalizer: unknown,
  ignoreMerges: boolean,
): string | undefined {
  const words = signature(preTokenizer);
  const changes = normalizerSignature(normalizer);
  return PRE_TOKENIZERS.find(
    (entry) =>
      signature(entry.preTokenizer) === words &&
      normalizerSignature(entry.normalizer) === changes &&
      (entry.ignoreMerges ?? false) === ignoreMerges,
  )?.names[0];
}

/** What of a normalizer changes the text, in one string: empty when nothing does. */
function normalizerSignature(value: unknown): string {
  if (!isJsonObject(value)) return '';
  if (value.type !== 'Sequence') return JSON.stringify(value);
  const steps = (value.normalizers as unknown[]).map(normalizerSignature);
  return steps.filter((step) => step !== '').join(' → ');
}

/** What of a pre-tokenizer decides the words, in one string. */
function signature(value: unknown): string {
  const stage = value as JsonObject | null;
  if (stage === null || typeof stage !== 'object') return 'none';
  if (stage.type === 'Sequence') return (stage.pretokenizers as unknown[]).map(signature).join(' → ');
  if (stage.type === 'ByteLevel')
    return `ByteLevel(${stage.add_prefix_space === true}, ${stage.use_regex !== false})`;
  if (stage.type === 'Digits') return `Digits(${stage.individual_digits === true})`;
  return JSON.stringify([stage.type, stage.pattern, stage.behavior, stage.invert ?? false]);
}

function byteLevel(useRegex: boolean): JsonObject {
  return { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: useRegex };
}

function split(regex: string): JsonObject {
  return { type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false };
}

function sequence(...pretokenizers: JsonObject[]): JsonObject {
  return { type: 'Sequence', pretokenizers };
}
