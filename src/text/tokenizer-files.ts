import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ModelError } from '../errors.ts';
import { byteLevelBpe } from './bpe.ts';
import type { ChatTemplateSource } from './chat-template.ts';
import { isJsonObject, type JsonObject } from './json.ts';
import type { TokenizerFiles } from './tokenizer.ts';

/**
 * Reads a tokenizer from a Hugging Face directory: tokenizer.json (or GPT-2's vocab.json and merges.txt),
 * tokenizer_config.json, special_tokens_map.json and chat_template.jinja.
 */
export async function readTokenizerFiles(directory: string): Promise<TokenizerFiles> {
  const { chat_template: stated, ...config } = (await readJson(directory, 'tokenizer_config.json')) ?? {};
  const specialTokensMap = await readJson(directory, 'special_tokens_map.json');
  const stored = await readJson(directory, 'tokenizer.json');
  const tokenizer = stored ?? (await readGpt2Files(directory));
  const templateFile = join(directory, 'chat_template.jinja');
  const chatTemplate = existsSync(templateFile) ? await readFile(templateFile, 'utf8') : stated;
  const files = {
    tokenizer,
    config,
    ...(specialTokensMap === undefined ? {} : { specialTokensMap }),
    // A tokenizer that was saved without a template may say `null`.
    ...(chatTemplate == null ? {} : { chatTemplate: chatTemplate as ChatTemplateSource }),
  };
  return stored === undefined ? withGpt2Defaults(files) : files;
}

/**
 * The files with BOS and EOS as a model's config.json names them by id, where the tokenizer's own files name none: the hub's
 * GPT-2 leaves them to the defaults of transformers' tokenizer class. Only added tokens count, because the text of any other
 * would not be cut out as that token. A `null` in the files stays: Qwen2 has no BOS, though its config.json names an id.
 *
 * @param model config.json
 */
export function withModelTokens(files: TokenizerFiles, model: JsonObject): TokenizerFiles {
  const { added_tokens: added } = files.tokenizer;
  const entries = Array.isArray(added) ? added.filter(isJsonObject) : [];
  const tokenOf = (stated: unknown): string | undefined => {
    const id: unknown = Array.isArray(stated) ? stated[0] : stated;
    const content = entries.find((entry) => entry.id === id)?.content;
    return typeof content === 'string' ? content : undefined;
  };
  return withMissing(files, {
    bos_token: tokenOf(model.bos_token_id),
    eos_token: tokenOf(model.eos_token_id),
  });
}

/** What transformers' class for vocab.json and merges.txt takes for granted, where the vocabulary has it. */
function withGpt2Defaults(files: TokenizerFiles): TokenizerFiles {
  const { added_tokens: added } = files.tokenizer;
  if (!Array.isArray(added) || added.length === 0) return files;
  return withMissing(files, {
    bos_token: GPT2_END,
    eos_token: GPT2_END,
    unk_token: GPT2_END,
  });
}

function withMissing(
  files: TokenizerFiles,
  tokens: Readonly<Record<string, string | undefined>>,
): TokenizerFiles {
  const { config, specialTokensMap = {} } = files;
  const missing = Object.entries(tokens).filter(
    ([key, token]) => token !== undefined && config[key] === undefined && specialTokensMap[key] === undefined,
  );
  return missing.length === 0 ? files : { ...files, config: { ...config, ...Object.fromEntries(missing) } };
}

/** Writes the files so that `transformers` and this project read the same tokenizer back. */
export async function writeTokenizerFiles(directory: string, files: TokenizerFiles): Promise<void> {
  await mkdir(directory, { recursive: true });
  const named = typeof files.chatTemplate === 'string' ? {} : { chat_template: files.chatTemplate };
  await writeJson(directory, 'tokenizer.json', files.tokenizer);
  await writeJson(directory, 'tokenizer_config.json', { ...files.config, ...named });
  if (files.specialTokensMap !== undefined) {
    await writeJson(directory, 'special_tokens_map.json', files.specialTokensMap);
  }
  if (typeof files.chatTemplate === 'string') {
    await writeFile(join(directory, 'chat_template.jinja'), files.chatTemplate);
  }
}

const GPT2_END = '<|endoftext|>';

/** GPT-2 repositories from before tokenizer.json hold the vocabulary and the merges apart. */
async function readGpt2Files(directory: string): Promise<JsonObject> {
  const vocabulary = await readJson(directory, 'vocab.json');
  const mergesFile = join(directory, 'merges.txt');
  if (vocabulary === undefined || !existsSync(mergesFile)) {
    throw new ModelError(
      'tokenizer-missing',
      `No tokenizer in ${directory}: neither tokenizer.json nor vocab.json with merges.txt.`,
      {
        hint: 'Save the tokenizer beside the model, for instance with save_pretrained of transformers.',
      },
    );
  }
  const lines = (await readFile(mergesFile, 'utf8')).split('\n');
  const merges = lines
    .filter((line, index) => line !== '' && !(index === 0 && line.startsWith('#version')))
    .map((line) => line.split(' ') as [string, string]);
  const ids = new Map(Object.entries(vocabulary) as [string, number][]);
  const end = ids.get(GPT2_END);
  return byteLevelBpe({
    vocabulary: ids,
    merges,
    addedTokens: end === undefined ? [] : [{ id: end, content: GPT2_END, special: true }],
    preTokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
  });
}

async function readJson(directory: string, name: string): Promise<JsonObject | undefined> {
  const path = join(directory, name);
  if (!existsSync(path)) return undefined;
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    if (isJsonObject(value)) return value;
    throw new Error('not a JSON object');
  } catch (cause) {
    throw new ModelError('tokenizer-invalid', `${path} cannot be read: ${(cause as Error).message}.`, {
      cause,
    });
  }
}

async function writeJson(directory: string, name: string, value: unknown): Promise<void> {
  await writeFile(join(directory, name), `${JSON.stringify(value, null, 2)}\n`);
}
