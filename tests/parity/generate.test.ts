import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { memory, noGrad, setThreads, threads, tidy } from '../../src/engine/index.ts';
import { type Completion, type GenerateOptions, generate } from '../../src/generate/index.ts';
import { type CausalLM, createModel } from '../../src/models/index.ts';
import { MODELS, readCheckpoint } from './checkpoint.ts';
import { hiddenStates, nextTokenLogps, sequenceRow } from './compute.ts';

const before = threads();
beforeAll(() => setThreads(1));
afterAll(() => setThreads(before));

const load = (name: string, dtype: 'float32' | 'float64' = 'float64') => {
  const { config, weights } = readCheckpoint(`${MODELS}${name}`);
  return createModel(config, weights, { dtype, device: 'cpu' });
};
const prompts = [5, 1, 17, 9, 2].map((length, index) =>
  Int32Array.from({ length }, (_, at) => 3 + ((at * 29 + index * 11) % 120)),
);
const tokensOf = (results: readonly (readonly Completion[])[]) =>
  results.map((completions) => completions.map(({ tokens }) => [...tokens]));

/** Log-probabilities of a completion by a plain forward pass over the whole sequence. */
function rescore(model: CausalLM, prompt: Int32Array, { tokens }: Completion): Float64Array {
  return noGrad(() =>
    tidy(() => {
      const row = sequenceRow([...prompt, ...tokens]);
      const rows = [...tokens].map((_, at) => prompt.length - 1 + at);
      const table = nextTokenLogps(model, hiddenStates(model, row), rows).toFloat64();
      const vocabulary = model.config.vocabularySize;
      return Float64Array.from(tokens, (id, at) => table[at * vocabulary + id]!);
    }),
  );
}

describe.each(['gpt2', 'gpt-neox-parallel', 'llama3', 'mistral', 'qwen2', 'qwen3'])('%s', (name) => {
  let model: CausalLM;
  beforeAll(() => {
    model = load(name);
  });
  afterAll(() => model.dispose());
  const options: GenerateOptions = { maxNewTokens: 16, stopTokenIds: [], samplesPerPrompt: 2, seed: 5 };

  test('the cache gives what a pass over the whole sequence gives, past windows and cache growth', async () => {
    const live = memory().liveTensors;
    const results = await generate(model, prompts, { ...options, maxNewTokens: 50, batchSize: 4 });
    for (const [index, completions] of results.entries()) {
      for (const completion of completions) {
        expect(completion.tokens).toHaveLength(50);
        const expected = rescore(model, prompts[index]!, completion);
        for (const [at, logp] of completion.logps.entries()) expect(logp).toBeCloseTo(expected[at]!, 10);
      }
    }
    expect(memory().liveTensors).toBe(live);
  });

  test('a sequence does not depend on what it is batched with', async () => {
    const together = tokensOf(await generate(model, prompts, options));
    expect(tokensOf(await generate(model, prompts, { ...options, batchSize: 3 }))).toEqual(together);
    expect(tokensOf(await generate(model, prompts, { ...options, batchSize: 1 }))).toEqual(together);
    expect(tokensOf(await generate(model, prompts.slice(0, 2), options))).toEqual(together.slice(0, 2));
  });
});

describe('generate', () => {
  let model: CausalLM;
  beforeAll(() => {
    model = load('llama-linear', 'float32');
  });
  afterAll(() => model.dispose());

  test('samples differ from each other and between seeds, and repeat for the same seed', async () => {
    const run = (seed: number) =>
      generate(model, [prompts[0]!], { maxNewTokens: 12, samplesPerPrompt: 3, seed });
    const first = tokensOf(await run(1));
    expect(new Set(first[0]!.map(String)).size).toBe(3);
    expect(tokensOf(await run(1))).toEqual(first);
    expect(tokensOf(await run(2))).not.toEqual(first);
  });

  test('stops at a stop token, which it names and leaves out', async () => {
    const options = { maxNewTokens: 20, greedy: true };
    const [[free]] = (await generate(model, [prompts[2]!], { ...options, stopTokenIds: [] })) as [
      [Completion],
    ];
    const stop = free.tokens[7]!;
    const [[stopped]] = (await generate(model, [prompts[2]!], { ...options, stopTokenIds: [stop] })) as [
      [Completion],
    ];
    const firstStop = free.tokens.indexOf(stop);
    expect([...stopped.tokens]).toEqual([...free.tokens.slice(0, firstStop)]);
    expect(stopped).toMatchObject({ finish: 'stop', stopToken: stop });
    expect(free.finish).toBe('length');
    expect(free.stopToken).toBeUndefined();
  });

  test('learned positions end a completion at their last row', async () => {
    const gpt2 = load('gpt2', 'float32');
    const long = Int32Array.from({ length: 75 }, (_, at) => 3 + at);
    const [[completion]] = (await generate(gpt2, [long], {
      maxNewTokens: 50,
      greedy: true,
      stopTokenIds: [],
    })) as [[Completion]];
    // Eighty positions hold 75 prompt tokens and five more, which predict one beyond them.
    expect(completion.tokens).toHaveLength(6);
    const tooLong = Int32Array.from({ length: 81 }, () => 3);
    await expect(generate(gpt2, [tooLong], { maxNewTokens: 1 })).rejects.toThrow(
      /81 tokens.*80 learned positions/,
    );
    gpt2.dispose();
  });

  test('reports progress and can be aborted', async () => {
    const seen: number[] = [];
    const controller = new AbortController();
    const run = generate(model, prompts, {
      maxNewTokens: 50,
      stopTokenIds: [],
      signal: controller.signal,
      onProgress: ({ newTokens, total }) => {
        expect(total).toBe(5);
        seen.push(newTokens);
        if (seen.length === 4) controller.abort(new Error('enough'));
      },
    });
    await expect(run).rejects.toThrow('enough');
    expect(seen).toEqual([10, 15, 20, 25]);
  });

  test('refuses empty prompts, foreign tokens and empty budgets', async () => {
    const options = { maxNewTokens: 1 };
    await expect(generate(model, [new Int32Array(0)], options)).rejects.toThrow(/Prompt 0 has no tokens/);
    await expect(generate(model, [Int32Array.of(128)], options)).rejects.toThrow(/token 128, outside.*128/);
    await expect(generate(model, prompts, { maxNewTokens: 0 })).rejects.toThrow(/maxNewTokens must be/);
    expect(await generate(model, [], options)).toEqual([]);
  });
});
