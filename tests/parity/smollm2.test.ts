import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openModel } from '../../src/checkpoints/index.ts';
import { grad, noGrad, ops, setThreads, threads, tidy } from '../../src/engine/index.ts';
import { generate } from '../../src/generate/index.ts';
import { type CausalLM, createModel, readModelConfig } from '../../src/models/index.ts';
import { dpoLoss, hiddenStates, nextTokenLogps, packPairs, scoreCompletion, sequenceRow } from './compute.ts';

const fixture = JSON.parse(
  readFileSync(fileURLToPath(new URL('../fixtures/smollm2-135m.json', import.meta.url)), 'utf8'),
);
/** The model is fetched into the cache when it is not there; where that is impossible, its tests say so and are skipped. */
const checkpoint = await openModel('smollm2-135m:gguf').catch((error: unknown) => {
  console.warn(`SmolLM2 parity is skipped: ${error instanceof Error ? error.message : String(error)}`);
  return undefined;
});

describe.skipIf(checkpoint === undefined)(
  'SmolLM2-135M agrees with transformers in fp32',
  { timeout: 180_000 },
  () => {
    let model: CausalLM;
    const before = threads();
    beforeAll(() => {
      setThreads(1); // test files run side by side: threads of two of them would wait for each other
      const { config, weights } = checkpoint!;
      model = createModel(readModelConfig(config), weights, { dtype: 'float32', device: 'cpu' });
    }, 180_000);
    afterAll(() => {
      model.dispose();
      setThreads(before);
    });

    test('logits within 2e-4', () => {
      noGrad(() =>
        tidy(() => {
          const logits = model.head.forward(hiddenStates(model, sequenceRow(fixture.sequence)));
          const rows = fixture.sequence.length;
          const vocabulary = model.config.vocabularySize;
          const values = logits.toFloat64();
          const normalisers = ops.logsumexp(logits, [-1]).toFloat64();
          let largest = 0;
          for (let row = 0; row < rows; row++) {
            const offset = row * vocabulary;
            for (const [index, column] of fixture.columns.entries()) {
              largest = Math.max(largest, Math.abs(values[offset + column]! - fixture.logits[row][index]));
            }
            const [best, logit] = fixture.largest[row];
            largest = Math.max(largest, Math.abs(values[offset + best]! - logit));
            largest = Math.max(largest, Math.abs(normalisers[row]! - fixture.logSumExp[row]));
          }
          expect(largest).toBeLessThan(2e-4);
        }),
      );
    });

    test('log-probabilities, entropies, DPO loss and gradient norms of packed pairs', () => {
      const parameters = [...model.parameters.values()];
      for (const { value } of parameters) value.setRequiresGrad(true);
      tidy(() => {
        const row = packPairs(fixture.pairs);
        const hidden = hiddenStates(model, row);
        const logps = row.completions.map(({ rows, targets }, index) => {
          const expected = fixture.scores[index >> 1][index % 2 === 0 ? 'chosen' : 'rejected'];
          const { logp, entropy } = scoreCompletion(nextTokenLogps(model, hidden, rows), targets);
          expect(Math.abs(logp.item() - expected.logp)).toBeLessThan(2e-3);
          expect(Math.abs(entropy.item() - expected.entropy)).toBeLessThan(5e-5);
          return logp;
        });
        const loss = dpoLoss(logps, fixture.references, fixture.dpo.beta);
        expect(Math.abs(loss.item() - fixture.dpo.loss)).toBeLessThan(1e-5);
        const gradients = grad(
          [loss],
          parameters.map(({ value }) => value),
        );
        const norms = gradients.map((gradient) => ops.linalgVectorNorm(gradient!).item());
        expect(Math.abs(Math.hypot(...norms) / fixture.dpo.gradNorm - 1)).toBeLessThan(1e-3);
        for (const [index, { name }] of parameters.entries()) {
          expect(Math.abs(norms[index]! / fixture.dpo.gradients[name].norm - 1)).toBeLessThan(1e-3);
        }
      });
      for (const { value } of parameters) value.setRequiresGrad(false);
    });

    test('32 greedy tokens of four prompts decoded together', async () => {
      const prompts = fixture.greedy.map(({ prompt }: { prompt: number[] }) => Int32Array.from(prompt));
      const options = { maxNewTokens: 32, greedy: true, stopTokenIds: [] };
      const completions = await generate(model, prompts, options);
      for (const [index, { tokens, logps }] of fixture.greedy.entries()) {
        const { tokens: ours, logps: ourLogps } = completions[index]![0]!;
        expect([...ours]).toEqual(tokens);
        for (const [at, logp] of logps.entries()) expect(Math.abs(ourLogps[at]! - logp)).toBeLessThan(2e-4);
      }
    });
  },
);
