import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { hiddenStates, sequenceRow } from '../../tests/parity/compute.ts';
import { Generator, memory, ops, tidy } from '../engine/index.ts';
import { type CausalLM, createModel, readModelConfig, type Trunk } from '../models/index.ts';
import { mergeLora } from '../nn/index.ts';
import { linearsOf, loadAdapter, readAdapterConfig, saveAdapter } from './adapter.ts';
import type { HubSettings } from './hub/index.ts';
import { saveDirectory } from './huggingface.ts';
import { loadClassifier, loadModel, modelTensors, openModel } from './load.ts';
import { renderModelCard } from './model-card.ts';
import { resolveModel } from './resolve.ts';
import { openSafetensorsDirectory } from './safetensors.ts';

const MODELS = fileURLToPath(new URL('../../tests/fixtures/models/', import.meta.url));
const ADAPTERS = fileURLToPath(new URL('./fixtures/adapters/', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'mallows-load-'));
afterAll(() => rmSync(directory, { recursive: true }));

beforeEach(() => {
  vi.stubEnv('MALLOWS_CACHE', join(directory, 'cache'));
});
afterEach(() => {
  vi.unstubAllEnvs();
});

const TOKENIZER = {
  added_tokens: [],
  pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
  decoder: { type: 'ByteLevel' },
  model: { type: 'BPE', vocab: { a: 0, b: 1 }, merges: [] },
};

/** A tiny model's directory with a tokenizer beside it. */
function modelDirectory(name: string): string {
  const path = join(directory, name);
  if (!existsSync(path)) {
    cpSync(join(MODELS, name), path, { recursive: true });
    writeFileSync(join(path, 'tokenizer.json'), JSON.stringify(TOKENIZER));
    writeFileSync(join(path, 'tokenizer_config.json'), JSON.stringify({ eos_token: 'b' }));
  }
  return path;
}

function lastLogits(model: CausalLM, ids: readonly number[]): number[] {
  return tidy(() => {
    const logits = model.head.forward(hiddenStates(model, sequenceRow(ids)));
    return [...ops.select(logits, 0, ids.length - 1).toFloat64()];
  });
}

const largestGap = (a: readonly number[], b: readonly number[]) =>
  Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));

describe('loadModel', () => {
  it('loads a directory, with provenance, and gives all tensors back', async () => {
    const before = memory().liveTensors;
    const { model, config, source, tokenizer } = await loadModel(modelDirectory('qwen3'));
    expect(config.modelType).toBe('qwen3');
    expect(tokenizer.eosTokenId).toBe(1);
    expect(source).toMatchObject({
      kind: 'directory',
      baseModel: 'qwen3',
      hash: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(source.weights).toEqual([
      {
        file: 'model.safetensors',
        bytes: expect.any(Number),
        sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      },
    ]);
    model.dispose();
    expect(memory().liveTensors).toBe(before);
  });

  it('loads a GGUF file, whose logits are those of the safetensors', async () => {
    const gguf = await loadModel(join(MODELS, 'stories260K', 'stories260K-f32.gguf'));
    const config = readModelConfig(
      JSON.parse(readFileSync(join(MODELS, 'stories260K', 'config.json'), 'utf8')),
    );
    const weights = openSafetensorsDirectory(join(MODELS, 'stories260K'));
    const direct = createModel(config, weights, { dtype: 'float32', device: 'cpu' });
    const ids = [...gguf.tokenizer.encode('Once upon a time')];
    expect(lastLogits(gguf.model, ids)).toEqual(lastLogits(direct, ids));
    expect(gguf.source.kind).toBe('gguf');
    gguf.model.dispose();
    direct.dispose();
  });

  it('has one hash for one content, wherever it lies', async () => {
    const path = modelDirectory('llama3');
    const copy = join(directory, 'llama3-copy');
    cpSync(path, copy, { recursive: true });
    const [a, b] = [await openModel(path), await openModel(copy)];
    expect(a.source.hash).toBe(b.source.hash);
    const config = JSON.parse(readFileSync(join(copy, 'config.json'), 'utf8'));
    writeFileSync(join(copy, 'config.json'), JSON.stringify({ ...config, rms_norm_eps: 1e-3 }));
    expect((await openModel(copy)).source.hash).not.toBe(a.source.hash);
  });

  it('notices that a file changed', async () => {
    const path = modelDirectory('mistral');
    const before = (await openModel(path)).source.hash;
    const file = join(path, 'model.safetensors');
    const bytes = readFileSync(file);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(file, bytes);
    expect((await openModel(path)).source.hash).not.toBe(before);
  });

  it('converts to the dtype that is asked for', async () => {
    const { model } = await loadModel(modelDirectory('qwen2'), { dtype: 'float64' });
    expect(new Set([...model.parameters.values()].map((parameter) => parameter.value.dtype))).toEqual(
      new Set(['float64']),
    );
    model.dispose();
  });

  it('refuses a tokenizer that has more tokens than the model', async () => {
    const path = modelDirectory('gpt2-scaled');
    const vocab = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`t${i}`, i]));
    writeFileSync(
      join(path, 'tokenizer.json'),
      JSON.stringify({ ...TOKENIZER, model: { ...TOKENIZER.model, vocab } }),
    );
    writeFileSync(join(path, 'tokenizer_config.json'), '{}');
    await expect(loadModel(path)).rejects.toMatchObject({ code: 'vocabulary-mismatch' });
  });
});

describe('loadClassifier', () => {
  it('starts a fresh score on a language model, and loads it again once saved', async () => {
    const path = modelDirectory('llama3');
    await expect(loadClassifier(path)).rejects.toMatchObject({ code: 'weights-mismatch' });
    const fresh = await loadClassifier(path, { scoreGenerator: new Generator(3), labels: 1 });
    expect(fresh.model.score.weight.value.shape).toEqual([1, fresh.config.width]);
    const saved = join(directory, 'reward');
    await saveDirectory(saved, {
      config: fresh.config.raw,
      tokenizer: fresh.tokenizer.files,
      tensors: modelTensors(fresh.model),
      card: { name: 'reward', pipeline: 'text-classification' },
    });
    const again = await loadClassifier(saved);
    expect(again.config.labels).toBe(1);
    expect(tidy(() => ops.equal(again.model.score.weight.value, fresh.model.score.weight.value))).toBe(true);
    fresh.model.dispose();
    again.model.dispose();
  });
});

describe('saveDirectory', () => {
  it('writes what loads again with the same content', async () => {
    const loaded = await loadModel(modelDirectory('gpt-neox-parallel'));
    const path = join(directory, 'saved');
    await saveDirectory(path, {
      config: loaded.config.raw,
      generationConfig: { eos_token_id: 1 },
      tokenizer: loaded.tokenizer.files,
      tensors: modelTensors(loaded.model),
      card: { name: 'saved' },
    });
    const again = await loadModel(path);
    expect(again.tokenizer.files).toEqual(loaded.tokenizer.files);
    expect(again.config.eosTokenIds).toContain(1);
    expect(lastLogits(again.model, [1, 2, 3])).toEqual(lastLogits(loaded.model, [1, 2, 3]));
    for (const { model } of [loaded, again]) model.dispose();
  });

  it('states the dtype of the weights', async () => {
    const { model, config, tokenizer } = await loadModel(modelDirectory('qwen3'), { dtype: 'bfloat16' });
    const path = join(directory, 'bf16');
    await saveDirectory(path, {
      config: config.raw,
      tokenizer: tokenizer.files,
      tensors: modelTensors(model),
      card: { name: 'x' },
    });
    const written = JSON.parse(readFileSync(join(path, 'config.json'), 'utf8'));
    expect(written.dtype ?? written.torch_dtype).toBe('bfloat16');
    model.dispose();
  });
});

describe('adapters', () => {
  const baseOf = (name: string) => {
    const { baseModel } = readAdapterConfig(join(ADAPTERS, name));
    const config = readModelConfig(JSON.parse(readFileSync(join(baseModel, 'config.json'), 'utf8')));
    return createModel(config, openSafetensorsDirectory(baseModel), { dtype: 'float32', device: 'cpu' });
  };

  it.each(['llama3', 'gpt2'])('of PEFT on %s give the logits of PEFT, and so do merged ones', (name) => {
    const { ids, last } = JSON.parse(readFileSync(join(ADAPTERS, name, 'logits.json'), 'utf8'));
    const model = baseOf(name);
    expect(largestGap(lastLogits(model, ids), last)).toBeGreaterThan(1e-2);
    loadAdapter(join(ADAPTERS, name), model);
    expect(largestGap(lastLogits(model, ids), last)).toBeLessThan(2e-5);
    expect(() => modelTensors(model)).toThrowError(/carries a LoRA adapter that would be lost/);
    mergeLora(linearsOf(model));
    expect(largestGap(lastLogits(model, ids), last)).toBeLessThan(2e-5);
    expect(modelTensors(model).size).toBe(model.parameters.size);
    model.dispose();
  });

  it('are saved as PEFT saves them, and load with their base', async () => {
    const base = modelDirectory('gpt2');
    const { model } = await loadModel(base);
    loadAdapter(join(ADAPTERS, 'gpt2'), model);
    const path = join(directory, 'adapter');
    await saveAdapter(path, model, {
      baseModel: base,
      rank: 3,
      alpha: 6,
      rankStabilised: true,
      card: { name: 'a' },
    });
    const original = join(ADAPTERS, 'gpt2', 'adapter_model.safetensors');
    expect(readFileSync(join(path, 'adapter_model.safetensors')).equals(readFileSync(original))).toBe(true);
    const config = JSON.parse(readFileSync(join(path, 'adapter_config.json'), 'utf8'));
    expect(config).toMatchObject({
      fan_in_fan_out: true,
      target_modules: ['attn.c_attn', 'mlp.c_proj'],
      r: 3,
      lora_alpha: 6,
    });

    const loaded = await loadModel(path);
    const { ids, last } = JSON.parse(readFileSync(join(ADAPTERS, 'gpt2', 'logits.json'), 'utf8'));
    expect(largestGap(lastLogits(loaded.model, ids), last)).toBeLessThan(2e-5);
    expect(loaded.source.weights).toHaveLength(2);
    expect(loaded.source.baseModel).toBe('gpt2');
    for (const trunk of [model, loaded.model] satisfies Trunk[]) trunk.dispose();
  });

  it('that do not fit, or ask for more than LoRA, are refused by name', () => {
    const model = baseOf('llama3');
    expect(() => loadAdapter(join(ADAPTERS, 'gpt2'), model)).toThrowError(/have no place there/);
    expect([...linearsOf(model)].some((linear) => linear.adapter !== undefined)).toBe(false);
    model.dispose();
    const path = mkdtempSync(join(directory, 'odd-'));
    const config = JSON.parse(readFileSync(join(ADAPTERS, 'gpt2', 'adapter_config.json'), 'utf8'));
    writeFileSync(
      join(path, 'adapter_config.json'),
      JSON.stringify({ ...config, use_dora: true, bias: 'all' }),
    );
    expect(() => readAdapterConfig(path)).toThrowError(/use_dora = true, bias = "all"/);
    writeFileSync(join(path, 'adapter_config.json'), JSON.stringify({ ...config, peft_type: 'IA3' }));
    expect(() => readAdapterConfig(path)).toThrowError(/not a LoRA adapter's/);
  });
});

describe('resolveModel', () => {
  const offline: HubSettings = {
    endpoint: 'http://127.0.0.1:9',
    token: undefined,
    cacheDirectory: join(directory, 'hub'),
    offline: true,
    connectTimeout: 100,
    stallTimeout: 100,
    parallel: 1,
  };

  it('takes a run for the model in it, and a directory for the one GGUF in it', async () => {
    const run = mkdtempSync(join(directory, 'run-'));
    cpSync(modelDirectory('qwen2'), join(run, 'model'), { recursive: true });
    expect((await resolveModel(run)).path).toBe(join(run, 'model'));
    const folder = mkdtempSync(join(directory, 'gguf-'));
    cpSync(join(MODELS, 'stories260K', 'stories260K-f32.gguf'), join(folder, 'x.gguf'));
    expect((await resolveModel(folder)).path).toBe(join(folder, 'x.gguf'));
    cpSync(join(folder, 'x.gguf'), join(folder, 'y.gguf'));
    await expect(resolveModel(folder)).rejects.toThrowError(/several .gguf files \(x.gguf, y.gguf\)/);
  });

  it.each(['./nowhere', '/nowhere/at/all', 'nowhere', 'a/b/c', 'missing.gguf', 'smollm2-135m:q9'])(
    'says that there is no %s',
    async (spec) => {
      await expect(resolveModel(spec, { hub: offline })).rejects.toMatchObject({ code: 'model-not-found' });
    },
  );

  it('takes owner/name for a hub id', async () => {
    await expect(resolveModel('owner/name', { hub: offline })).rejects.toMatchObject({ code: 'hub-offline' });
    await expect(resolveModel('hf:gpt2@main', { hub: offline })).rejects.toThrowError(
      /^gpt2 cannot be looked up/,
    );
  });

  it('reads the licence that a README states', async () => {
    const path = modelDirectory('llama-linear');
    writeFileSync(join(path, 'README.md'), renderModelCard({ name: 'x', license: 'mit' }));
    expect((await resolveModel(path)).source.license).toBe('mit');
  });
});
