import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { openModel } from '../../checkpoints/index.ts';
import type { Part } from './contract.ts';
import { readParts } from './parts.ts';
import { ALIGNMENT_SCALES } from './settings.ts';

const folder = mkdtempSync(join(tmpdir(), 'mallows-alignment-data-'));
afterAll(() => rmSync(folder, { recursive: true }));

const { small } = ALIGNMENT_SCALES.hh;
const settings = {
  ...small,
  sft: null,
  reward: { ...small.reward, pairs: 10 },
  pairs: 40,
  evaluation: { ...small.evaluation, prompts: 12, maxNewTokens: 6 },
};

function pairsFile(name: string, prompts: readonly string[]): string {
  const path = join(folder, name);
  const rows = prompts.map((prompt) => JSON.stringify({ prompt, chosen: ' Yes.', rejected: ' No.' }));
  writeFileSync(path, rows.join('\n'));
  return path;
}

it('judges on all parts of the evaluation data, and on no prompt that is learnt from', async () => {
  const { tokenizer, weights } = await openModel('tests/fixtures/models/stories260K/stories260K-f32.gguf');
  weights.close();
  const number = (count: number, what: string) =>
    Array.from({ length: count }, (_, i) => `What is ${what} ${i}?`);
  const experiment = {
    kind: 'hh',
    data: pairsFile('train.jsonl', [...number(30, 'one'), ...number(20, 'shared')]),
    evalData: pairsFile('test.jsonl', [...number(20, 'shared'), ...number(20, 'other')]),
    output: folder,
    scale: 'small',
    settings,
  } as const;
  const { test, reward, train, facts } = await readParts(experiment, tokenizer);
  const promptsOf = ({ pairs }: Part) => pairs.map(({ prompt }) => String(prompt));
  const shared = promptsOf(test).filter((prompt) => prompt.includes('shared'));
  expect(test.pairs).toHaveLength(12);
  expect(shared.length).toBeGreaterThan(0);
  expect(shared.length).toBeLessThan(12);
  expect(facts.judgedPrompts).toBe(shared.length);
  expect([...promptsOf(reward), ...promptsOf(train)]).toHaveLength(50 - shared.length);
  expect(new Set([test, reward, train].flatMap(promptsOf)).size).toBe(62 - shared.length);
  // The seed draws them.
  const again = await readParts({ ...experiment, settings: { ...settings, seed: 1 } }, tokenizer);
  expect(promptsOf(again.test)).not.toEqual(promptsOf(test));
});
