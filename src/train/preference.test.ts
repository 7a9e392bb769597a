import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { setThreads } from '../engine/index.ts';
import { type CustomPair, defineObjective } from '../objectives/index.ts';
import type { TrainPhase } from './contract.ts';
import { type PreferenceOptions, trainPreference } from './preference.ts';

setThreads(1);

const STORIES = fileURLToPath(
  new URL('../../tests/fixtures/models/stories260K/stories260K-f32.gguf', import.meta.url),
);

const names = ['Lily', 'Tom', 'Sam', 'Mia'];
/** Rows as in a file, line 1 first; `facts` of a name are added to its row. */
function pairsFile(facts: Readonly<Record<string, object>>): string {
  const path = join(mkdtempSync(join(tmpdir(), 'mallows-preference-')), 'pairs.jsonl');
  const rows = names.map((name) => ({
    id: name,
    prompt: `Once upon a time, there was a little child named ${name}.`,
    chosen: ` ${name} was happy.`,
    rejected: ` ${name} was sad.`,
    score_chosen: 8,
    score_rejected: 3,
    ...facts[name],
  }));
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return path;
}

const base = {
  model: STORIES,
  evalFraction: 0,
  steps: 1,
  dtype: 'fp32',
  referenceCache: false,
} as const satisfies Partial<PreferenceOptions>;

async function failure(options: PreferenceOptions): Promise<{ error: unknown; phases: TrainPhase[] }> {
  const phases: TrainPhase[] = [];
  const observer = (event: { type: string; phase?: TrainPhase }) => {
    if (event.phase !== undefined) phases.push(event.phase);
  };
  const error = await trainPreference({ ...options, observer }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return { error, phases };
}

describe('an update that the objective cannot work with', () => {
  it.each([
    ['alpha-dpo', { pairs: 1, accumulate: 64 }],
    ['beta-dpo', { pairs: 4, accumulate: 2 }],
  ])('is refused before anything is loaded: %s, %o', async (objective, batch) => {
    const { error, phases } = await failure({ ...base, data: pairsFile({}), objective, batch });
    expect(error).toMatchObject({ code: 'batch-wide-objective' });
    expect(phases).toEqual([]);
  });
});

describe('options that contradict each other', () => {
  it.each<[string, Partial<PreferenceOptions>, TrainPhase[]]>([
    ['sgd-nesterov', { optimizer: { name: 'sgd', nesterov: true } }, []],
    ['optimizer-coefficient', { optimizer: { name: 'adamw', betas: [1, 0.9] } }, []],
    ['steps-and-epochs', { steps: 1, epochs: 1 }, []],
    ['batch-size', { batch: { pairs: 1, tokens: 9 } }, []],
    ['batch-order', { batch: { bucket: true, groupPrompts: true } }, []],
    ['warmup-twice', { schedule: { warmupSteps: 1, warmupRatio: 0.1 } }, []],
    ['learning-rate', { learningRate: Number.NaN }, []],
    ['unknown-lora-target', { lora: { targetModules: ['q_prej'] } }, ['load']],
    ['invalid-lora-rank', { lora: { rank: 0 } }, ['load']],
  ])(
    'leave no run directory behind, and are refused before data are read: %s',
    async (code, more, phases) => {
      const output = join(mkdtempSync(join(tmpdir(), 'mallows-preference-')), 'run');
      const failed = await failure({ ...base, data: pairsFile({}), objective: 'dpo', output, ...more });
      expect(failed).toMatchObject({ error: { code }, phases });
      expect(existsSync(output)).toBe(false);
    },
  );
});

describe('rows that cannot be used', () => {
  it.each([
    ['a tie', { Tom: { score_rejected: 8 } }, 'score-gap-not-positive'],
    ['a missing score', { Tom: { score_chosen: undefined } }, 'missing-score-gaps'],
  ])('for ODPO are named before the reference pass: %s', async (_, facts, code) => {
    const file = pairsFile(facts);
    const { error, phases } = await failure({ ...base, data: file, objective: 'odpo' });
    expect(error).toMatchObject({
      code,
      message: expect.stringMatching(/^1 pair has .*: 'Tom' \(.*pairs\.jsonl:2\)\.$/),
      at: { file, line: 2 },
    });
    expect(phases).toEqual(['load', 'tokenize']);
  });

  it('for ODPO are looked for among held-out rows, too', async () => {
    const evalData = pairsFile({ Sam: { score_chosen: 3 } });
    const { error } = await failure({ ...base, data: pairsFile({}), evalData, objective: 'odpo' });
    expect(error).toMatchObject({ code: 'score-gap-not-positive', at: { file: evalData, line: 3 } });
  });

  it('for dispersion are named with file and line', async () => {
    const votes = { votes: { chosen: 2, rejected: 1 } };
    const file = pairsFile({ Lily: votes, Tom: votes, Mia: votes });
    const output = join(mkdtempSync(join(tmpdir(), 'mallows-preference-')), 'run');
    const { error, phases } = await failure({ ...base, data: file, output, dispersion: { source: 'votes' } });
    expect(error).toMatchObject({
      code: 'missing-votes',
      message: expect.stringContaining("'Sam' ("),
      at: { file, line: 3 },
    });
    // Nothing to delete before the next attempt, and the reference model was not asked.
    expect(existsSync(output)).toBe(false);
    expect(phases).toEqual(['load', 'tokenize']);
  });
});

describe('score gaps', () => {
  it('reach ODPO', async () => {
    const { metrics, model } = await trainPreference({ ...base, data: pairsFile({}), objective: 'odpo' });
    // At the start Δ = 0, so that the loss is −log σ(−ln 5) = ln 6.
    expect(metrics[0]!.loss).toBeCloseTo(Math.log(6), 4);
    model.model.dispose();
  });

  it('of the pairs that have one reach an objective of one’s own; the others are NaN', async () => {
    const seen = new Set<number>();
    const objective = defineObjective({
      name: 'mine',
      usesDispersion: false,
      loss: ({ scoreGap, chosen, rejected }: CustomPair) => {
        seen.add(scoreGap);
        return { loss: rejected.logp - chosen.logp, chosenSlope: -1, rejectedSlope: 1 };
      },
    });
    const data = pairsFile({ Tom: { score_chosen: undefined } });
    const { model } = await trainPreference({ ...base, data, objective });
    expect(seen).toEqual(new Set([5, Number.NaN]));
    model.model.dispose();
  });
});
