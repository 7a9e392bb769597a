import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { grad, noGrad, ops, setThreads, tensor, threads, tidy } from '../../src/engine/index.ts';
import { generate } from '../../src/generate/index.ts';
import { createClassifier, createModel } from '../../src/models/index.ts';
import { MODELS, readCheckpoint } from './checkpoint.ts';
import {
  dpoLoss,
  hiddenStates,
  nextTokenLogps,
  packPairs,
  scoreCompletion,
  sequenceRow,
  type TokenPair,
} from './compute.ts';

interface Fixture {
  readonly pairs: readonly TokenPair[];
  readonly sequence: readonly number[];
  readonly logits: readonly (readonly number[])[];
  readonly scores: readonly Record<
    'chosen' | 'rejected',
    { readonly logp: number; readonly entropy: number }
  >[];
  readonly references: readonly { readonly chosen: number; readonly rejected: number }[];
  readonly greedy: { readonly prompt: number[]; readonly tokens: number[]; readonly logps: number[] };
  readonly dpo: {
    readonly beta: number;
    readonly loss: number;
    readonly gradNorm: number;
    readonly gradients: Record<string, { readonly norm: number; readonly head: number[] }>;
  };
  readonly classifier: { readonly score: number[][]; readonly logits: number[][] };
}

const NAMES = readdirSync(MODELS).filter((name) => name !== 'stories260K');
const PLACEMENT = { dtype: 'float32', device: 'cpu' } as const;

// Threads cost more than they give at this size.
const before = threads();
beforeAll(() => setThreads(1));
afterAll(() => setThreads(before));

test('every family and option has its model', () => {
  expect(NAMES).toEqual([
    'gemma3',
    'gpt-neox-parallel',
    'gpt-neox-sequential',
    'gpt2',
    'gpt2-scaled',
    'granite',
    'llama-dynamic',
    'llama-linear',
    'llama3',
    'mistral',
    'olmo2',
    'qwen2',
    'qwen3',
    'smollm3',
  ]);
});

describe.each(NAMES)('%s agrees with transformers', (name) => {
  const folder = `${MODELS}${name}`;
  const fixture: Fixture = JSON.parse(readFileSync(`${folder}/fixture.json`, 'utf8'));
  const load = (dtype: 'float32' | 'float64' | 'bfloat16') => {
    const { config, weights } = readCheckpoint(folder);
    return createModel(config, weights, { dtype, device: 'cpu' });
  };

  test('logits within 2e-4', () => {
    const model = load('float32');
    const logits = noGrad(() =>
      tidy(() => model.head.forward(hiddenStates(model, sequenceRow(fixture.sequence))).toFloat64()),
    );
    expect(largestDifference(logits, fixture.logits.flat())).toBeLessThan(2e-4);
    model.dispose();
  });

  test('bf16 logits within 4 % of their spread', () => {
    const model = load('bfloat16');
    const logits = noGrad(() =>
      tidy(() => model.head.forward(hiddenStates(model, sequenceRow(fixture.sequence))).toFloat64()),
    );
    const expected = fixture.logits.flat();
    const squares = (values: readonly number[]) => values.reduce((sum, value) => sum + value * value, 0);
    const error = squares(expected.map((value, index) => value - logits[index]!));
    expect(Math.sqrt(error / squares(expected))).toBeLessThan(0.04);
    model.dispose();
  });

  test('completion log-probabilities within 2e-3, mean entropies within 5e-5, packed', () => {
    const model = load('float32');
    noGrad(() =>
      tidy(() => {
        const row = packPairs(fixture.pairs);
        const hidden = hiddenStates(model, row);
        for (const [index, { rows, targets }] of row.completions.entries()) {
          const expected = fixture.scores[index >> 1]![index % 2 === 0 ? 'chosen' : 'rejected'];
          const { logp, entropy } = scoreCompletion(nextTokenLogps(model, hidden, rows), targets);
          expect(Math.abs(logp.item() - expected.logp)).toBeLessThan(2e-3);
          expect(Math.abs(entropy.item() - expected.entropy)).toBeLessThan(5e-5);
        }
      }),
    );
    model.dispose();
  });

  test('DPO loss and the gradient of every parameter, packed, in fp64', () => {
    const model = load('float64');
    const parameters = [...model.parameters.values()];
    for (const parameter of parameters) parameter.value.setRequiresGrad(true);
    tidy(() => {
      const row = packPairs(fixture.pairs);
      const hidden = hiddenStates(model, row);
      const logps = row.completions.map(
        ({ rows, targets }) => scoreCompletion(nextTokenLogps(model, hidden, rows), targets).logp,
      );
      const loss = dpoLoss(logps, fixture.references, fixture.dpo.beta);
      expect(loss.item()).toBeCloseTo(fixture.dpo.loss, 6);
      const gradients = grad(
        [loss],
        parameters.map((parameter) => parameter.value),
      );
      const norms = gradients.map((gradient) => Math.hypot(...gradient!.toFloat64()));
      expect(relative(Math.hypot(...norms), fixture.dpo.gradNorm)).toBeLessThan(1e-6);
      expect(parameters).toHaveLength(Object.keys(fixture.dpo.gradients).length);
      for (const [index, parameter] of parameters.entries()) {
        const expected = fixture.dpo.gradients[inMemoryName(parameter.name)]!;
        const values = gradients[index]!.toFloat64();
        // Key biases of a softmax cancel to rounding noise, so the tolerance has a floor at the total's scale.
        const floor = 1e-6 * fixture.dpo.gradNorm;
        expect(Math.abs(norms[index]! - expected.norm)).toBeLessThan(1e-5 * expected.norm + floor);
        for (const [at, value] of expected.head.entries()) {
          expect(Math.abs(values[at]! - value)).toBeLessThan(1e-5 * Math.abs(value) + floor);
        }
      }
    });
    model.dispose();
  });

  test('32 greedy tokens, their log-probabilities within 1e-4', async () => {
    const model = load('float32');
    const { prompt, tokens, logps } = fixture.greedy;
    // Dynamic scaling follows the longest sequence of the batch, so there the prompt goes alone.
    const others = name === 'llama-dynamic' ? [] : fixture.pairs.map((pair) => Int32Array.from(pair.prompt));
    const [first] = await generate(model, [Int32Array.from(prompt), ...others], {
      maxNewTokens: 32,
      greedy: true,
      stopTokenIds: [],
    });
    expect([...first![0]!.tokens]).toEqual(tokens);
    expect(largestDifference(first![0]!.logps, logps)).toBeLessThan(1e-4);
    model.dispose();
  });

  test('sequence classification within 1e-4', () => {
    const { config, weights } = readCheckpoint(folder);
    const score = tensor(Float32Array.from(fixture.classifier.score.flat()), {
      shape: [config.labels, config.width],
    });
    const withScore = {
      names: () =>
        [...weights.names()].filter((file) => !/^(lm_head|embed_out)/.test(file)).concat('score.weight'),
      get: (file: string) => (file === 'score.weight' ? score : weights.get(file)),
    };
    const model = createClassifier(config, withScore, PLACEMENT);
    for (const [index, { prompt, chosen }] of fixture.pairs.entries()) {
      const row = sequenceRow([...prompt, ...chosen]);
      const logits = noGrad(() =>
        tidy(() => {
          const last = ops.narrow(hiddenStates(model, row), 0, row.tokens.length - 1, 1);
          return model.score.forward(last).toFloat64();
        }),
      );
      expect(largestDifference(logits, fixture.classifier.logits[index]!)).toBeLessThan(1e-4);
    }
    model.dispose();
    score.dispose();
  });
});

/** transformers 5 calls GPT-NeoX's output projection lm_head in memory and embed_out in files. */
function inMemoryName(name: string): string {
  return name.replace('embed_out', 'lm_head');
}

function largestDifference(values: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(values.length).toBe(expected.length);
  return Math.max(...Array.from(values, (value, index) => Math.abs(value - expected[index]!)));
}

function relative(value: number, expected: number): number {
  return Math.abs(value / expected - 1);
}
