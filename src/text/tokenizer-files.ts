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
  const tokenizer = (await readJson(directory, 'tokenizer.json')) ?? (await readGpt2Files(directory));
  const templateFile = join(directory, 'chat_template.jinja');
  const chatTemplate = existsSync(templateFile) ? await readFile(templateFile, 'utf8') : stated;
  return {
    tokenizer,
    config,
    ...(specialTokensMap === undefined ? {} : { specialTokensMap }),
    ...(chatTemplate === undefined ? {} : { chatTemplate: chatTemplate as ChatTemplateSource }),
  };
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
  const end = ids.get('<|endoftext|>');
  return byteLevelBpe({
    vocabulary: ids,
    merges,
    addedTokens: end === undefined ? [] : [{ id: end, content: '<|endoftext|>', special: true }],
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
