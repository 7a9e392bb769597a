import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { grad, memory, ops, setThreads, type Tensor, threads, tidy } from '../../src/engine/index.ts';
import { type CausalLM, createModel, type Segment } from '../../src/models/index.ts';
import { MODELS, readCheckpoint } from './checkpoint.ts';
import { hiddenStates, indices, sequenceRow } from './compute.ts';
import { pathOf, randomForest } from './rows.ts';

const before = threads();
beforeAll(() => setThreads(1));
afterAll(() => setThreads(before));

/** Windows of 8 (mistral, every layer) and 6 (qwen2, upper layer) are shorter than these rows. */
describe.each(['gpt2', 'gpt-neox-parallel', 'gpt-neox-sequential', 'llama3', 'mistral', 'qwen2', 'qwen3'])(
  '%s in fp64: a packed row equals its sequences one at a time',
  (name) => {
    let model: CausalLM;
    let parameters: Tensor[];
    beforeAll(() => {
      const { config, weights } = readCheckpoint(`${MODELS}${name}`);
      model = createModel(config, weights, { dtype: 'float64', device: 'cpu' });
      parameters = [...model.parameters.values()].map(({ value }) => value.setRequiresGrad(true));
    });
    afterAll(() => model.dispose());

    test('hidden states and every gradient, for any forest', () => {
      const live = memory().liveTensors;
      const hasTokens = randomForest.filter((segments) => segments.some(({ length }) => length > 0));
      fc.assert(
        fc.property(hasTokens, fc.integer({ min: 1, max: 1e6 }), (segments, seed) => {
          tidy(() => comparePackedWithSequences(model, parameters, segments, seed));
        }),
        { numRuns: 12 },
      );
      expect(memory().liveTensors).toBe(live);
    });
  },
);

function comparePackedWithSequences(
  model: CausalLM,
  parameters: readonly Tensor[],
  segments: readonly Segment[],
  seed: number,
): void {
  const total = segments.reduce((sum, { length }) => sum + length, 0);
  const tokens = Array.from({ length: total }, (_, row) => (row * 37 + seed) % model.config.vocabularySize);
  const positions = segments.flatMap(({ length }, index) => {
    const ahead = pathOf(segments, index).reduce((sum, at) => sum + segments[at]!.length, 0) - length;
    return Array.from({ length }, (_, at) => ahead + at);
  });
  const slopes = ops.add(ops.unsqueeze(ops.sin(ops.to(indices(tokens), 'float64')), 1), 0.5);
  const packed = hiddenStates(model, { tokens, positions, segments });
  const packedLoss = ops.sum(ops.mul(ops.square(packed), slopes));

  const losses: Tensor[] = [];
  for (const [index, { start, length }] of segments.entries()) {
    if (length === 0) continue;
    const rows = pathOf(segments, index).flatMap((at) => {
      const segment = segments[at]!;
      return Array.from({ length: segment.length }, (_, offset) => segment.start + offset);
    });
    const alone = hiddenStates(model, sequenceRow(rows.map((row) => tokens[row]!)));
    const own = ops.narrow(alone, 0, rows.length - length, length);
    expect(largest(ops.sub(own, ops.narrow(packed, 0, start, length)))).toBeLessThan(1e-11);
    losses.push(ops.sum(ops.mul(ops.square(own), ops.narrow(slopes, 0, start, length))));
  }
  const aloneLoss = losses.reduce((sum, loss) => ops.add(sum, loss));
  const packedGradients = grad([packedLoss], parameters);
  const aloneGradients = grad([aloneLoss], parameters);
  for (const [index, gradient] of packedGradients.entries()) {
    if (gradient === null) {
      expect(aloneGradients[index]).toBeNull();
      continue;
    }
    const scale = Math.max(1, largest(aloneGradients[index]!));
    expect(largest(ops.sub(gradient, aloneGradients[index]!)) / scale).toBeLessThan(1e-11);
  }
}

function largest(x: Tensor): number {
  return ops.amax(ops.abs(x)).item();
}
