import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type LoadedModel,
  loadModel,
  loadPairs,
  modelTensors,
  saveDirectory,
  tokenizePairs,
} from 'mallowspo';
import type { DataSet, Settings } from './scenarios.ts';
import { writeThin } from './thin.ts';

/** Files that both sides read. */
export interface Inputs {
  readonly folder: string;
  /** A Hugging Face directory. */
  readonly model: string;
  readonly data: Readonly<Record<DataSet, DataFiles>>;
  /** `{ids}`, the first prompts of `hh`. */
  readonly prompts: string;
  /** A model of the same operators without their arithmetic, and pairs for it. */
  readonly thinModel: string;
}

export interface DataFiles {
  /** `{id, prompt, chosen, rejected}` as chat messages. */
  readonly pairs: string;
  /** `{prompt, chosen, rejected}` as token ids. */
  readonly tokens: string;
}

/** Writes the model, and of each data set as many rows as the steps take. */
export async function prepareInputs(
  folder: string,
  model: string,
  sources: Readonly<Record<DataSet, string>>,
  settings: Settings,
): Promise<Inputs> {
  const loaded = await loadModel(model);
  const { tokenizer, config, generationConfig, source } = loaded;
  const inputs = {
    folder,
    model: join(folder, 'model'),
    prompts: join(folder, 'prompts.jsonl'),
    thinModel: join(folder, 'thin'),
  };
  await saveDirectory(inputs.model, {
    config: config.raw,
    generationConfig,
    tokenizer: tokenizer.files,
    tensors: modelTensors(loaded.model),
    card: { name: 'bench', baseModel: source.baseModel },
  });
  const write = (name: DataSet) => writeData(folder, name, sources[name], loaded, settings);
  const [hh, long, shared] = [await write('hh'), await write('long'), await write('shared')];
  const prompts = hh.prompts.slice(0, settings.prompts).map((ids) => ({ ids: Array.from(ids) }));
  writeFileSync(inputs.prompts, lines(prompts));
  await writeThin(loaded, inputs.thinModel);
  loaded.model.dispose();
  return { ...inputs, data: { hh: hh.files, long: long.files, shared: shared.files } };
}

async function writeData(
  folder: string,
  name: DataSet,
  source: string,
  { tokenizer }: LoadedModel,
  { steps, batching }: Settings,
): Promise<{ files: DataFiles; prompts: readonly Int32Array[] }> {
  const { pairs, maxLength } = batching[name];
  const data = await loadPairs(source, { chatTemplate: true });
  const { examples, tokens } = await tokenizePairs(data, tokenizer, { maxLength });
  const needed = steps * pairs;
  if (examples.length < needed) {
    const possible = Math.floor(examples.length / pairs);
    throw new Error(
      `${steps} steps of ${pairs} pairs need ${needed} pairs; ${source} has ${examples.length}: --steps ${possible} at most.`,
    );
  }
  const files = { pairs: join(folder, `${name}.jsonl`), tokens: join(folder, `${name}-tokens.jsonl`) };
  const used = examples.slice(0, needed);
  writeFileSync(
    files.pairs,
    lines(used.map(({ id, prompt, chosen, rejected }) => ({ id, ...chat(prompt, chosen, rejected) }))),
  );
  writeFileSync(
    files.tokens,
    lines(
      tokens.slice(0, needed).map(({ prompt, chosen, rejected }) => ({
        prompt: Array.from(prompt),
        chosen: Array.from(chosen),
        rejected: Array.from(rejected),
      })),
    ),
  );
  return { files, prompts: tokens.map(({ prompt }) => prompt) };
}

type Text = string | readonly { readonly role: string; readonly content: string }[];

/** Plain strings as chat messages, as both sides train a chat model. */
function chat(prompt: Text, chosen: Text, rejected: Text) {
  const messages = (text: Text, role: string) =>
    typeof text === 'string' ? [{ role, content: text }] : text;
  return {
    prompt: messages(prompt, 'user'),
    chosen: messages(chosen, 'assistant'),
    rejected: messages(rejected, 'assistant'),
  };
}

function lines(rows: readonly unknown[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join('');
}
