import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Device, type FloatSpelling, floatDType, type Generator } from '../engine/index.ts';
import { ModelError } from '../errors.ts';
import {
  type CausalLM,
  createClassifier,
  createModel,
  type Placement,
  readModelConfig,
  type SequenceClassifier,
  type SupportedConfig,
  type Trunk,
} from '../models/index.ts';
import { linearsOf } from '../models/linears.ts';
import type { JsonObject } from '../text/json.ts';
import { Tokenizer } from '../text/tokenizer.ts';
import { readTokenizerFiles, withModelTokens } from '../text/tokenizer-files.ts';
import { isAdapterDirectory, loadAdapter, readAdapterConfig } from './adapter.ts';
import { isGguf } from './files.ts';
import { ggufConfig } from './gguf/config.ts';
import { readGgufHeader } from './gguf/read.ts';
import { ggufTokenizer } from './gguf/tokenizer.ts';
import { ggufWeights } from './gguf/weights.ts';
import { type OpenCheckpoint, openDirectory } from './huggingface.ts';
import { baseSpecification, type ResolvedModel, type ResolveOptions, resolveModel } from './resolve.ts';
import { type ModelProvenance, provenanceOf } from './source.ts';

/** What a model's parameters may be converted to. */
const LOADABLE = ['float64', 'float32', 'float16', 'bfloat16'] as const;

export interface LoadOptions extends ResolveOptions {
  /** What the parameters are converted to: `bfloat16`, or `bf16`. Default float32. */
  readonly dtype?: FloatSpelling;
  readonly device?: Device;
}

export interface LoadedModel<Model extends Trunk = CausalLM> {
  readonly model: Model;
  readonly tokenizer: Tokenizer;
  readonly config: SupportedConfig;
  /** generation_config.json, `{}` when there is none. */
  readonly generationConfig: JsonObject;
  /** Where it came from, with the hashes of what was read. */
  readonly source: ModelProvenance;
  /** Frees the weights, which no garbage collector does. `using` calls it where the block ends. */
  dispose(): void;
  [Symbol.dispose](): void;
}

/** A checkpoint that was found and opened, before a model is made of it. */
export interface FoundCheckpoint extends OpenCheckpoint {
  readonly source: ModelProvenance;
  /** Directory of a LoRA adapter that belongs on the model. */
  readonly adapter: string | undefined;
}

/**
 * Loads a causal language model: a directory, a .gguf file, a hub id, an alias (see `resolveModel`), or the directory
 * of a LoRA adapter, whose base model is loaded and gets the adapter, with the adapter's tokenizer if it has one.
 *
 * @remarks The caller frees it: `loaded.dispose()`, or `using loaded = await loadModel(…)`.
 */
export async function loadModel(spec: string, options: LoadOptions = {}): Promise<LoadedModel> {
  const placement = placementOf(options);
  const found = await openModel(spec, options);
  return build(found, (config) => createModel(config, found.weights, placement));
}

/**
 * Loads a sequence classifier or reward model (`score.weight`). A language model becomes one when `scoreGenerator`
 * is given: its score starts fresh.
 *
 * @remarks The caller frees it, as what `loadModel` gives.
 */
export async function loadClassifier(
  spec: string,
  options: LoadOptions & { readonly scoreGenerator?: Generator; readonly labels?: number } = {},
): Promise<LoadedModel<SequenceClassifier>> {
  const placement = placementOf(options);
  const found = await openModel(spec, options);
  const { scoreGenerator, labels } = options;
  const config = labels === undefined ? found.config : { ...found.config, num_labels: labels };
  return build({ ...found, config }, (supported) =>
    createClassifier(supported, found.weights, placement, scoreGenerator),
  );
}

/** Finds and opens a checkpoint without building a model: for hashing, exporting, tokenising. */
export async function openModel(spec: string, options: ResolveOptions = {}): Promise<FoundCheckpoint> {
  const resolved = await resolveModel(spec, options);
  if (isAdapterDirectory(resolved.path)) return openAdapter(resolved, options);
  const checkpoint = isGguf(resolved.path) ? openGguf(resolved.path) : await openDirectory(resolved.path);
  const { weights, config, tokenizer } = checkpoint;
  const source = await provenanceOf(
    { ...resolved.source, ...ggufLicense(resolved) },
    { weightFiles: weights.files, config, tokenizer },
  );
  return { ...checkpoint, source, adapter: undefined };
}

/** Weights of a model by Hugging Face name, for saving. Adapters must be merged or saved by themselves. */
export function modelTensors(model: Trunk) {
  for (const linear of linearsOf(model)) {
    if (linear.adapter === undefined) continue;
    throw new ModelError('adapter-attached', `${linear.name} carries a LoRA adapter that would be lost.`, {
      hint: 'Merge the adapters (mergeAdapters), or save them with saveAdapter.',
    });
  }
  return new Map([...model.parameters].map(([name, parameter]) => [name, parameter.value]));
}

function placementOf({ dtype = 'float32', device = 'cpu' }: LoadOptions): Placement {
  return { dtype: floatDType(dtype, LOADABLE), device };
}

function build<Model extends Trunk>(
  found: FoundCheckpoint,
  create: (config: SupportedConfig) => Model,
): LoadedModel<Model> {
  const { tokenizer, generationConfig, source, weights, adapter } = found;
  try {
    const config = readModelConfig(found.config, generationConfig);
    if (tokenizer.vocabularySize > config.vocabularySize) {
      throw new ModelError(
        'vocabulary-mismatch',
        `The tokenizer has ${tokenizer.vocabularySize} tokens, but the model only ${config.vocabularySize} embeddings.`,
        {
          hint:
            adapter === undefined
              ? 'Check that tokenizer and weights belong to one model.'
              : `Check that the adapter belongs to the model. Without tokenizer.json in ${adapter} the base model's tokenizer is used.`,
        },
      );
    }
    const model = create(config);
    try {
      if (adapter !== undefined) loadAdapter(adapter, model);
    } catch (error) {
      model.dispose();
      throw error;
    }
    return withDispose({ model, tokenizer, config, generationConfig, source });
  } finally {
    weights.close();
  }
}

/** By `this`, so that a copy with another source or configuration frees the model that it has. */
function withDispose<Model extends Trunk>(
  loaded: Omit<LoadedModel<Model>, 'dispose' | typeof Symbol.dispose>,
): LoadedModel<Model> {
  return {
    ...loaded,
    dispose() {
      this.model.dispose();
    },
    [Symbol.dispose]() {
      this.dispose();
    },
  };
}

async function openAdapter(resolved: ResolvedModel, options: ResolveOptions): Promise<FoundCheckpoint> {
  const directory = resolved.path;
  const base = await openBase(directory, options);
  const tokenizer = existsSync(join(directory, 'tokenizer.json'))
    ? new Tokenizer(withModelTokens(await readTokenizerFiles(directory), base.config))
    : base.tokenizer;
  const weightFiles = [...base.weights.files, join(directory, 'adapter_model.safetensors')];
  const source = await provenanceOf(
    { ...resolved.source, baseModel: base.source.baseModel },
    { weightFiles, config: base.config, tokenizer },
  );
  return { ...base, tokenizer, source, adapter: directory };
}

async function openBase(directory: string, options: ResolveOptions): Promise<FoundCheckpoint> {
  let base: FoundCheckpoint;
  try {
    base = await openModel(baseSpecification(readAdapterConfig(directory)), options);
  } catch (error) {
    if (!(error instanceof ModelError) || error.code !== 'model-not-found') throw error;
    throw new ModelError(error.code, `${error.message} The adapter ${directory} names it as its base.`, {
      hint: 'Set base_model_name_or_path in its adapter_config.json to where the base model is.',
      cause: error,
    });
  }
  if (base.adapter === undefined) return base;
  throw new ModelError('adapter-invalid', `${directory} is an adapter for another adapter, ${base.adapter}.`);
}

function openGguf(path: string): OpenCheckpoint {
  const header = readGgufHeader(path);
  const config = ggufConfig(header);
  const ids = ['bos_token_id', 'eos_token_id', 'pad_token_id'].filter((key) => config[key] !== undefined);
  return {
    config,
    generationConfig: Object.fromEntries(ids.map((key) => [key, config[key]])),
    tokenizer: new Tokenizer(ggufTokenizer(header)),
    weights: ggufWeights(header),
  };
}

function ggufLicense({ path, source }: ResolvedModel): { license?: string } {
  if (source.license !== undefined || !isGguf(path)) return {};
  const license = readGgufHeader(path).metadata.get('general.license');
  return typeof license === 'string' ? { license } : {};
}
