import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeRunReport } from './report.ts';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'run-report-'));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

function write(name: string, records: readonly object[]): void {
  mkdirSync(join(directory, 'evaluations'), { recursive: true });
  writeFileSync(join(directory, name), records.map((record) => `${JSON.stringify(record)}\n`).join(''));
}

const report = async () => {
  const numbers = await writeRunReport(directory, { title: 't', subtitle: 's', finished: true });
  return { numbers, page: readFileSync(join(directory, 'report.html'), 'utf8') };
};

describe('writeRunReport', () => {
  it('takes a run without an objective for supervised fine-tuning', async () => {
    write('provenance.json', [{ data: { train: { rows: 9 }, eval: { rows: 3 } } }]);
    write('recipe.yaml', []);
    write('metrics.jsonl', [
      { step: 0, eval_loss: 3, 'eval_loss/low': 2.9, 'eval_loss/high': 3.1 },
      { step: 1, loss: 3, eval_loss: 2, 'eval_loss/low': 1.9, 'eval_loss/high': 2.1 },
    ]);
    const { numbers } = await report();
    expect(numbers.verdict[0]).toMatch(/^The model learnt: on held-out texts the loss fell from 3\.000/);
  });

  it('reads rewards, source and shuffling of a preference run', async () => {
    const pairs = (shift: number) =>
      Array.from({ length: 20 }, (_, i) => ({
        id: `${i}`,
        prompt: `${i}`,
        loss: 2 - shift,
        win: 0.5,
        chosenReward: shift * (1 + i / 100),
        rejectedReward: -shift,
      }));
    write('provenance.json', [{ data: { objective: { name: 'mallows-theta' } } }]);
    write('recipe.yaml', []);
    write('metrics.jsonl', [
      { step: 0, eval_loss: 2 },
      { step: 4, loss: 1, eval_loss: 1.5 },
    ]);
    write('evaluations/step-0.jsonl', pairs(0));
    write('evaluations/step-4.jsonl', pairs(0.5));
    // 0 is the seed of the shuffle, not its absence.
    write('dispersion.json', [{ source: 'votes', shuffle: 0, phiStar: 0.4 }]);
    write(
      'dispersion.jsonl',
      pairs(0).map(({ id }, i) => ({ id: `prompt ${id}`, negLogDispersion: 0.9 + i / 100 })),
    );
    const { numbers, page } = await report();
    // Rewards ½(1 + i/100) + ½ apart: 1 + 0.095/2 on average.
    expect(numbers.heldOut?.marginChange.estimate).toBeCloseTo(1.0475, 12);
    expect(numbers.verdict[0]).toMatch(/^The model learnt the preference: .* from 2\.000 to 1\.500/);
    expect(numbers.dispersion).toMatchObject({ source: 'votes', shuffled: true, phiStar: 0.4 });
    expect(page).toContain('This run is a control');
    expect(page).not.toContain('prompt 0');
  });

  it('reads the accuracy before training, log-ratios and KL of a preference run', async () => {
    const pairs = (chosenLogRatio: number) =>
      Array.from({ length: 20 }, (_, i) => ({
        id: `${i}`,
        prompt: `${i}`,
        loss: 1,
        win: i < 15 ? 1 : 0,
        chosenReward: i < 15 ? -1 : -3,
        rejectedReward: -2,
        chosenLogRatio: chosenLogRatio + i / 100,
        rejectedLogRatio: 0,
      }));
    write('provenance.json', [{ data: { objective: { name: 'simpo', beta: 10 } } }]);
    write('recipe.yaml', []);
    write('metrics.jsonl', [
      { step: 0, eval_loss: 1, 'eval_kl/on_policy': 0 },
      { step: 4, loss: 1, eval_loss: 1, 'eval_kl/on_policy': 2.5 },
    ]);
    write('evaluations/step-0.jsonl', pairs(0));
    write('evaluations/step-4.jsonl', pairs(2));
    write(
      'evaluations/step-4.kl.jsonl',
      [2, 3].map((kl, i) => ({ id: `${i}`, prompt: `${i}`, kl })),
    );
    const { numbers, page } = await report();
    expect(numbers.heldOut).toMatchObject({
      accuracyBefore: 0.75,
      accuracyChange: { estimate: 0, low: 0, high: 0 },
      chosenLogRatio: { estimate: expect.closeTo(2.095, 12) },
      accuracyByLogRatio: { estimate: 1, low: 1, high: 1 },
    });
    expect(numbers.verdict.at(-1)).toMatch(
      /^The reward of an answer under simpo is β = 10 times log π per token/,
    );
    expect(numbers.kl).toEqual([
      { step: 0, kl: 0 },
      { step: 4, kl: 2.5, interval: [2, 3] },
    ]);
    expect(page).toContain('They became more likely than under the reference');
  });
});
