import { describe, expect, it } from 'vitest';
import { tinyModel } from '../../tests/support/tiny-models.ts';
import { tinyPairs } from '../../tests/support/tiny-pairs.ts';
import { memory, noGrad, ops, setThreads, tidy } from '../engine/index.ts';
import { generate } from '../generate/index.ts';
import type { CausalLM } from '../models/contract.ts';
import { sequenceKl, type WithReference } from './kl.ts';
import { scorePairs, scoreRow } from './score.ts';

setThreads(1);

describe('KL on completions', () => {
  const sequences = tinyPairs(3).map(({ prompt, chosen }) => ({ prompt, completion: chosen }));

  const lend =
    (reference: CausalLM): WithReference =>
    async (use) =>
      use(reference);

  it('is zero for equal models and positive for others', async () => {
    const [a, b] = [tinyModel(), tinyModel('llama', 'float64', 4)];
    expect(Math.max(...(await sequenceKl(a, lend(a), sequences)))).toBeLessThan(1e-12);
    expect(Math.min(...(await sequenceKl(a, lend(b), sequences)))).toBeGreaterThan(0.01);
    a.dispose();
    b.dispose();
  });

  it('by hand: against a uniform reference it is Σ (ln V − H_t)', async () => {
    const [policy, uniform] = [tinyModel(), tinyModel()];
    tidy(() => noGrad(() => ops.zero_(uniform.head.weight.value)));
    const scores = scoreRow(policy, tinyPairs(3));
    const before = memory().liveTensors;
    for (const [i, kl] of (await sequenceKl(policy, lend(uniform), sequences)).entries()) {
      const { tokens, entropy } = scores[i]!.chosen;
      expect(kl).toBeCloseTo(tokens * (Math.log(53) - entropy), 9);
    }
    expect(memory().liveTensors).toBe(before);
    policy.dispose();
    uniform.dispose();
  });

  it('agrees with the mean log-ratio of sampled completions', async () => {
    const [policy, other] = [tinyModel(), tinyModel('llama', 'float64', 4, { initializer_range: 0.2 })];
    const prompts = Array.from({ length: 300 }, () => Int32Array.of(1, 2, 3));
    const options = { maxNewTokens: 3, seed: 5 };
    const sampled = (await generate(policy, prompts, { ...options, stopTokenIds: [] })).map(([one]) => one!);
    const pairs = sampled.map(({ tokens }, i) => ({
      ...tinyPairs(1)[0]!,
      id: `${i}`,
      prompt: prompts[i]!,
      chosen: tokens,
    }));
    const theirs = await scorePairs(other, pairs);
    const ratios = sampled.map(({ logps }, i) => logps.reduce((a, b) => a + b, 0) - theirs[i]!.chosen.logp);
    const mean = ratios.reduce((a, b) => a + b, 0) / ratios.length;
    const sd = Math.sqrt(ratios.reduce((sum, x) => sum + (x - mean) ** 2, 0) / ratios.length);
    const kl = await sequenceKl(
      policy,
      lend(other),
      pairs.map(({ prompt, chosen }) => ({ prompt, completion: chosen })),
    );
    const estimate = kl.reduce((a, b) => a + b, 0) / kl.length;
    expect(Math.abs(estimate - mean)).toBeLessThan((4 * sd) / Math.sqrt(ratios.length));
    expect(estimate).toBeGreaterThan(1);
    policy.dispose();
    other.dispose();
  });
});
