import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { EvaluatedPair } from '../../runs/index.ts';
import { RandomStream } from '../../stats/index.ts';
import { compareMethods } from './compare.ts';
import { groupBySeed, loadEvidence } from './evidence.ts';
import { frontiers } from './frontier.ts';
import { formatMetric, type Method, type MetricName, type MetricValues } from './metrics.ts';
import { RELATIVE_REWARD, rewardKind } from './reward-kind.ts';
import { readWeights } from './weights.ts';

const root = mkdtempSync(join(tmpdir(), 'mallows-compare-'));

function method(name: string, metric: MetricName, ...runs: (readonly number[])[]): Method {
  return {
    name,
    runs: runs.map((values, seed) => ({
      ...WHOLE,
      path: `${name}-${seed}`,
      seed,
      metrics: { [metric]: measured(Object.entries(values)) },
    })),
  };
}

/** A run that went to its end. */
const WHOLE = { path: '', seed: 0, step: 100, finished: true };

/** Values by id, each of a prompt of its own unless it says otherwise. */
function measured(values: readonly (readonly [id: string, value: number, prompt?: string])[]): MetricValues {
  return new Map(values.map(([id, value, prompt = id]) => [id, { value, prompt }]));
}

/** Standard normal numbers (Box–Muller). */
function normals(count: number, stream: RandomStream): number[] {
  return Array.from(
    { length: count },
    () => Math.sqrt(-2 * Math.log(1 - stream.uniform())) * Math.cos(2 * Math.PI * stream.uniform()),
  );
}

describe('compareMethods', () => {
  const noise = RandomStream.create(1);
  const base = normals(200, noise);

  it('sees a paired difference that the spread between prompts would hide', () => {
    const report = compareMethods([
      method('dpo', 'reward', base),
      method(
        'mallows',
        'reward',
        base.map((value, i) => value + 0.1 + 0.05 * Math.sin(i)),
      ),
    ]);
    const [comparison] = report.comparisons;
    expect(comparison).toMatchObject({ metric: 'reward', method: 'mallows', n: 200, unmatched: 0 });
    expect(comparison!.estimate).toBeCloseTo(0.1, 2);
    expect(comparison!.low).toBeGreaterThan(0.08);
    expect(comparison!.adjustedPValue).toBeLessThan(0.001);
    expect(report.verdict).toEqual([
      expect.stringMatching(/^mallows is better than dpo in reward: \+0\.100, 95 %/),
    ]);
    expect(report.notes.join()).toMatch(/luck of training/);
  });

  it('claims nothing where there is nothing, and knows which way is worse', () => {
    const other = base.map((value, i) => value + (i % 2 === 0 ? 0.5 : -0.5));
    const same = compareMethods([method('a', 'accuracy', base), method('b', 'accuracy', other)]);
    expect(same.verdict[0]).toMatch(
      /^No difference shown between b and a in held-out accuracy on 200 prompts: /,
    );
    const worse = compareMethods([
      method('a', 'accuracy', base),
      method(
        'b',
        'accuracy',
        base.map((v) => v - 0.2 * Math.abs(v)),
      ),
    ]);
    expect(worse.verdict[0]).toMatch(/^b is worse than a/);
  });

  it('takes pairs of one prompt as one piece of evidence', () => {
    // Six prompts of 33 pairs each: four move up as a whole, two move down.
    const methods = [0, 1].map((shift) => ({
      name: `shift-${shift}`,
      runs: [
        {
          ...WHOLE,
          metrics: {
            reward: measured(
              base
                .slice(0, 198)
                .map((value, i) => [`${i}`, value + (i % 3 < 2 ? shift : -shift), `${i % 6}`]),
            ),
          },
        },
      ],
    }));
    const { comparisons, methods: summaries, verdict } = compareMethods(methods);
    expect(comparisons[0]).toMatchObject({ n: 198, prompts: 6 });
    expect(summaries[1]!.metrics.reward).toMatchObject({ n: 198, prompts: 6 });
    expect(comparisons[0]!.estimate).toBeCloseTo(1 / 3, 12);
    // Of 64 patterns of six signs all but the 20 with three of each are as extreme.
    expect(comparisons[0]!.pValue).toBe(44 / 64);
    expect(comparisons[0]!.low).toBeLessThan(-0.2);
    expect(verdict[0]).toMatch(/^No difference shown between shift-1 and shift-0 in reward on 6 prompts/);
  });

  it('names every measure that shows no difference', () => {
    const both = (shift: number): Method => ({
      name: shift === 0 ? 'a' : 'b',
      runs: [
        {
          ...WHOLE,
          metrics: {
            reward: measured(base.map((value, i) => [`${i}`, value + shift])),
            accuracy: measured(base.map((_, i) => [`${i}`, i % 2])),
            margin: measured(base.map((value, i) => [`${i}`, value - shift])),
          },
        },
      ],
    });
    expect(compareMethods([both(0), both(0.3)]).verdict[0]).toMatch(
      /^b is better than a in reward: .*; b is worse in log-ratio margin \(.*\); no difference shown in held-out accuracy\.$/,
    );
  });

  it('corrects for every comparison made', () => {
    const shifted = (shift: number) => base.map((value, i) => value + shift + normalsOf(i));
    const normalsOf = (i: number) => 0.3 * Math.sin(i * 12.9898);
    const report = compareMethods([
      method('a', 'reward', base),
      method('b', 'reward', shifted(0.05)),
      method('c', 'reward', shifted(0.01)),
    ]);
    const [b, c] = report.comparisons;
    expect(b!.adjustedPValue).toBeCloseTo(Math.min(1, 2 * b!.pValue), 10);
    expect(c!.adjustedPValue).toBeGreaterThanOrEqual(c!.pValue);
    expect(report.notes.join()).toMatch(/2 comparisons \(Holm\)/);
  });

  it('compares on shared prompts only, and says how many were not', () => {
    const report = compareMethods([
      method('a', 'reward', base),
      {
        name: 'b',
        runs: [
          {
            ...WHOLE,
            path: 'b',
            metrics: {
              reward: measured([
                ['0', 1],
                ['1', 2],
                ['x', 3],
              ]),
            },
          },
        ],
      },
    ]);
    expect(report.comparisons[0]).toMatchObject({ n: 2, unmatched: 199 });
    expect(report.notes.join('\n')).toMatch(
      /^b and a, reward: 2 of 201 rows are the same in every run; the others are left out\.$/m,
    );
  });

  it('takes win rates that only one side has as head to head with the baseline', () => {
    const wins = base.map((_, i) => (i % 4 === 0 ? 0 : i % 10 === 1 ? 0.5 : 1));
    const report = compareMethods([method('dpo', 'accuracy', base), method('theta', 'winRate', wins, wins)]);
    const share = wins.reduce<number>((sum, win) => sum + win, 0) / wins.length;
    expect(report.comparisons).toHaveLength(1);
    expect(report.comparisons[0]!.estimate).toBeCloseTo(share - 0.5, 12);
    expect(report.verdict[0]).toMatch(/^theta is better than dpo in win rate: \+\d+\.\d points/);
    expect(report.notes.join()).toMatch(/taken to be against dpo/);
    // An even match is no run that had luck: the spread is that of the three runs' win rates.
    const judged = [0.5, 0.75, 1].map((rate) => base.map((_, i) => (i % 20 < 20 * rate ? 1 : 0)));
    const { estimate, low, high } = compareMethods([
      method('dpo', 'accuracy', base),
      method('theta', 'winRate', ...judged),
    ]).comparisons[0]!;
    expect(estimate).toBeCloseTo(0.25, 12);
    expect((estimate - low) / (0.25 / Math.sqrt(3))).toBeCloseTo(4.2, 0);
    // No win rate is further from even than that.
    expect(high).toBe(0.5);
  });

  it('claims nothing that two seeds of each could owe to luck, and says how little they tell', () => {
    const runs = (...levels: number[]) => levels.map((level) => base.map((value) => value + level));
    const few = compareMethods([
      method('a', 'reward', ...runs(-0.1, 0.1)),
      method('b', 'reward', ...runs(0.2, 0.4)),
    ]);
    expect(few.verdict[0]).toMatch(/^No difference shown/);
    expect(few.notes.join()).toMatch(/Two or three runs of a method say little/);
    const many = compareMethods([
      method('a', 'reward', ...runs(-0.1, 0.1, -0.1, 0.1)),
      method('b', 'reward', ...runs(0.2, 0.4, 0.2, 0.4)),
    ]);
    expect(many.verdict[0]).toMatch(/^b is better than a in reward/);
    expect(many.notes).toEqual([]);
  });

  it('compares on what every run has, and names the runs that lack the rest', () => {
    const won = (share: number) => base.map((_, i) => (i < share * base.length ? 1 : 0));
    const [dpo, theta] = [
      method('dpo', 'winRate', won(0.6), won(0.6), won(0.6)),
      method('theta', 'winRate', won(0.9), won(0.9), won(0.9)),
    ];
    const without = (whole: Method, seed: number): Method => ({
      ...whole,
      runs: whole.runs.map((run) => ({
        ...run,
        metrics: {
          accuracy: measured(base.map((_, i) => [`${i}`, i % 2])),
          ...(run.seed !== seed && run.metrics),
        },
      })),
    });
    // Two runs of the baseline were judged, so nobody played against it.
    expect(compareMethods([without(dpo, 2), theta])).toMatchObject({
      comparisons: [],
      verdict: [
        'theta and dpo: nothing that both were measured on tells which is better; not compared in win rate (missing from dpo-2); not compared in held-out accuracy (missing from theta).',
      ],
    });
    const report = compareMethods([without(dpo, -1), without(theta, 2)]);
    expect(report.verdict[0]).toMatch(
      /^No difference shown .* accuracy .*; not compared in win rate \(missing from theta-2\)\.$/,
    );
    expect(report.notes).toContain('theta and dpo are not compared in win rate: missing from theta-2.');
    expect(report.methods[1]!.metrics.winRate).toBeUndefined();
    // Where nobody judged the baseline, the verdicts are against it.
    const unjudged = compareMethods([method('dpo', 'accuracy', base), without(theta, 2)]);
    expect(unjudged.notes).toContain('theta and dpo are not compared in win rate: missing from theta-2.');
  });

  it('pairs no rows of different prompts, whatever their ids', () => {
    const scored = (name: string, shift: number, promptOf: (i: number) => string): Method => ({
      name,
      runs: [
        {
          ...WHOLE,
          path: name,
          metrics: { reward: measured(base.map((value, i) => [`${i}`, value + shift, promptOf(i)])) },
        },
      ],
    });
    const a = scored('a', 0, (i) => `prompt ${i}`);
    const others = compareMethods([a, scored('b', 0.5, (i) => `another ${i}`)]);
    expect(others.comparisons).toEqual([]);
    expect(others.verdict[0]).toMatch(/not compared in reward \(the runs share no row\)\.$/);
    expect(others.notes).toContain(
      'b and a, reward: 0 of 200 rows are the same in every run; the others are left out. 200 ids, such as "0", are of different prompts. Measure every run on the same prompts, under ids of their own.',
    );
    // A file that names no prompts is taken at its ids.
    const unnamed = compareMethods([scored('b', 0.5, String), scored('a', 0, (i) => `p${i >> 1}`)]);
    expect(unnamed.comparisons[0]).toMatchObject({ n: 200, prompts: 100, unmatched: 0 });
  });

  it('says that runs hold out different pairs, and what to do', () => {
    const heldOut = (name: string, firsts: readonly number[], data = ''): Method => ({
      name,
      runs: firsts.map((first, seed) => {
        const each = (value: (i: number) => number) =>
          measured(
            Array.from({ length: 48 }, (_, i) => [`${first + i}`, value(i), `${data}${first + i}`] as const),
          );
        const metrics = { accuracy: each((i) => i % 2), margin: each((i) => base[i]!) };
        return { ...WHOLE, path: `${name}-${seed}`, seed, metrics };
      }),
    });
    const { notes, verdict } = compareMethods([heldOut('a', [0, 45]), heldOut('b', [0, 45])]);
    expect(notes).toContain(
      'b and a, held-out accuracy, log-ratio margin: 3 of 93 rows are the same in every run; the others are left out. The runs hold out different pairs: train them with one eval_data and one choice of its rows (eval.max_pairs, max_length), so that every pair counts.',
    );
    expect(verdict[0]).toMatch(/^No difference shown .* on 3 prompts/);
    const disjoint = compareMethods([heldOut('a', [0, 48]), heldOut('b', [0, 48])]);
    expect(disjoint.verdict[0]).toMatch(/not compared in held-out accuracy \(the runs share no row\)/);
    expect(disjoint.notes.join()).toMatch(/0 of 96 rows .* eval_data/);
    const otherData = compareMethods([heldOut('a', [0], 'p'), heldOut('b', [0], 'q')]);
    expect(otherData.notes.join()).toMatch(/0 of 48 rows .* 48 ids, such as "0", .* or read it differently/);
  });

  it('says which runs did not finish, and where they were measured at different steps', () => {
    const [a, b] = [method('a', 'reward', base), method('b', 'reward', base, base)];
    expect(compareMethods([a, b]).notes.join()).not.toMatch(/finish|steps/);
    const [first, second] = b.runs;
    const crashed = { ...b, runs: [first!, { ...second!, step: 60, finished: false }] };
    expect(compareMethods([a, crashed]).notes.slice(0, 2)).toEqual([
      'b-1 did not finish: it holds no trained model, and its last evaluation is of step 60.',
      'The last evaluations are of different steps: 60 (b-1); 100 (a-0, b-0).',
    ]);
    const shorter = { ...a, runs: [{ ...a.runs[0]!, step: 80 }] };
    expect(compareMethods([shorter, b]).notes[0]).toBe(
      'The last evaluations are of different steps: 80 (a-0); 100 (b-0, b-1).',
    );
  });

  it('says which judged pairs have no verdict, and why', () => {
    const [dpo, theta] = [method('dpo', 'accuracy', base), method('theta', 'winRate', base, base)];
    const judged = { pairs: 12, withoutVerdict: { refused: 2, 'cut-off': 0, unparsable: 4 } };
    const whole = { pairs: 12, withoutVerdict: { refused: 0, 'cut-off': 0, unparsable: 0 } };
    const [first, second] = theta.runs;
    const report = compareMethods([
      dpo,
      {
        ...theta,
        runs: [
          { ...first!, judged },
          { ...second!, judged: whole },
        ],
      },
    ]);
    expect(report.notes.filter((note) => note.includes('no verdict'))).toEqual([
      '6 of 12 judged pairs of theta-0 have no verdict (2 refused, 4 unreadable): the win rate is of the others.',
    ]);
    expect(report.methods.map((each) => each.judged)).toEqual([
      [],
      [
        { run: 'theta-0', ...judged },
        { run: 'theta-1', ...whole },
      ],
    ]);
  });

  it('pairs held-out rows of one file by their ids, where versions name its prompts differently', () => {
    const by = (name: string, file: string | undefined, shift: number): Method => ({
      name,
      runs: [
        {
          ...WHOLE,
          path: name,
          ...(file !== undefined && { heldOutHash: file }),
          metrics: {
            margin: measured(base.map((value, i) => [`${i}`, value + shift, `${name} ${i >> 1}`] as const)),
          },
        },
      ],
    });
    const report = compareMethods([by('a', 'file', 0), by('b', 'file', 1)]);
    expect(report.comparisons[0]).toMatchObject({ n: 200, prompts: 100, unmatched: 0 });
    expect(report.notes.join()).not.toMatch(/rows/);
    for (const other of ['another', undefined]) {
      const different = compareMethods([by('a', 'file', 0), by('b', other, 1)]);
      expect(different.comparisons).toEqual([]);
      expect(different.notes.join()).toMatch(/0 of 200 rows .* 200 ids/);
    }
    expect(compareMethods([by('a', undefined, 0), by('b', undefined, 1)]).comparisons).toEqual([]);
  });

  it('gives no interval of what cannot be', () => {
    const few = (level: number) => ['0', '1'].map((id) => [id, level] as const);
    const kl = (name: string, ...levels: number[]): Method => ({
      name,
      runs: levels.map((level, seed) => ({ ...WHOLE, seed, metrics: { kl: measured(few(level)) } })),
    });
    const report = compareMethods([kl('a', 1, 60), kl('b', 30, 31)]);
    expect(report.methods[0]!.metrics.kl).toMatchObject({
      estimate: 30.5,
      interval: [0, expect.any(Number)],
    });
    // A difference may be less than none.
    expect(report.comparisons[0]!.low).toBeLessThan(0);
  });

  it('tells whether a difference depends on w(x)', () => {
    // The method helps where w(x) is high; on the first prompts w(x) is not known.
    const w = (i: number) => (i - 20) / 60;
    const gain = (i: number) => Math.max(0, w(i) - 2);
    const answered = base.map((value, i) => value + gain(i) + 0.01 * Math.sin(i));
    const weights = new Map(base.flatMap((_, i) => (i < 20 ? [] : [[`${i}`, w(i)] as const])));
    const methods = [method('dpo', 'reward', base), method('theta', 'reward', answered)];
    const { thirds } = compareMethods(methods, { weights: { answers: weights, heldOut: undefined } });
    expect(thirds.map(({ metric, third, n, w: [low, high] }) => [metric, third, n, low, high])).toEqual([
      ['reward', 'lowest', 60, 0, w(79)],
      ['reward', 'middle', 60, w(80), w(139)],
      ['reward', 'highest', 60, w(140), w(199)],
    ]);
    expect(thirds[0]!.estimate).toBeCloseTo(0, 2);
    expect(thirds[2]!.estimate).toBeCloseTo(0.49, 1);
    expect(thirds[2]!.adjustedPValue).toBeLessThan(0.001);
    expect(compareMethods(methods, { weights: { answers: undefined, heldOut: weights } }).thirds).toEqual([]);
    expect(compareMethods(methods).thirds).toEqual([]);
  });

  it('shows no negative zero', () => {
    expect(formatMetric(-0.001, { scale: 1, digits: 2 })).toBe('0.00');
    expect(formatMetric(-0.001, { scale: 100, digits: 1 })).toBe('-0.1');
  });

  it('has no verdict without a metric that judges', () => {
    const report = compareMethods([method('a', 'length', base), method('b', 'length', base)]);
    expect(report.verdict[0]).toMatch(/nothing that both were measured on tells which is better/);
  });
});

function run(
  name: string,
  recipe: object,
  rows: readonly EvaluatedPair[] = [],
  metrics: readonly object[] = [{ step: 10, eval_loss: 0.5 }],
) {
  const path = join(root, name);
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, 'recipe.yaml'), JSON.stringify(recipe));
  writeFileSync(join(path, 'metrics.jsonl'), metrics.map((record) => `${JSON.stringify(record)}\n`).join(''));
  mkdirSync(join(path, 'evaluations'), { recursive: true });
  const lines = (each: readonly object[]) => each.map((row) => `${JSON.stringify(row)}\n`).join('');
  writeFileSync(join(path, 'evaluations', 'step-9.jsonl'), lines(rows.map((row) => ({ ...row, win: 0 }))));
  writeFileSync(join(path, 'evaluations', 'step-10.jsonl'), lines(rows));
  mkdirSync(join(path, 'model'), { recursive: true });
  writeFileSync(join(path, 'model', 'model.safetensors'), '');
  return path;
}

/** Leaves a run as a kill leaves it while the model is saved: its configuration is written before its weights. */
function unfinish(path: string): string {
  rmSync(join(path, 'model', 'model.safetensors'));
  writeFileSync(join(path, 'model', 'config.json'), '{}');
  return path;
}

const pair = (id: string, margin: number): EvaluatedPair => ({
  id,
  prompt: 'p',
  loss: 0.5,
  win: margin > 0 ? 1 : 0,
  chosenReward: margin,
  rejectedReward: 0,
  chosenLogRatio: -1,
  rejectedLogRatio: -1 - 10 * margin,
});

describe('evidence', () => {
  it('is gathered from a run and the files beside it', async () => {
    const path = run(
      'dpo',
      { objective: { name: 'dpo' }, seed: 1 },
      [pair('x', 0.5), pair('y', -0.25)],
      [
        { step: 10, 'eval_kl/on_policy': 3.5 },
        { step: 11, loss: 0.4 },
      ],
    );
    const file = (name: string, rows: object[]) =>
      writeFileSync(join(path, name), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    file('evaluations/step-9.kl.jsonl', [{ id: 'x', kl: 9 }]);
    file('evaluations/step-10.kl.jsonl', [
      { id: 'x', prompt: 'p', kl: 3 },
      // A run of an earlier version.
      { id: 'y', kl: 4 },
      // No KL is less; sums are rounded.
      { id: 'z', kl: -1e-9 },
    ]);
    file('answers.jsonl', [{ id: 'x', prompt: 'Hi', completions: [{ text: 'a b a b' }, { text: 'a b c' }] }]);
    file('rewards.jsonl', [
      { id: 'x', prompt: '\n\nHuman: Hi\n\nAssistant:', scores: [1, 2] },
      { id: 'y', score: -1 },
    ]);
    file('judged.jsonl', [
      { id: 'x', winner: 'a', prompt: 'Hi' },
      { id: 'y', winner: 'tie', prompt: [{ role: 'user', content: 'Hi' }] },
      { id: 'z' },
      { id: 'r', verdicts: [{ winner: 'a' }, { reason: 'refused' }] },
      { id: 'c', verdicts: [{ reason: 'unparsable' }, { reason: 'cut-off' }] },
    ]);
    const { metrics, ...end } = await loadEvidence(path);
    expect(end).toMatchObject({ path, seed: 1, step: 10, finished: true });
    expect(end.judged).toEqual({ pairs: 5, withoutVerdict: { refused: 1, 'cut-off': 1, unparsable: 1 } });
    const x = (value: number, prompt = 'x') => ['x', value, prompt] as const;
    const y = (value: number, prompt = 'y') => ['y', value, prompt] as const;
    expect(metrics.accuracy).toEqual(measured([x(1, 'p'), y(0, 'p')]));
    expect(end.rewardAccuracy).toEqual({ kind: RELATIVE_REWARD, values: metrics.accuracy });
    expect(metrics.margin).toEqual(measured([x(5, 'p'), y(-2.5, 'p')]));
    expect(metrics.kl).toEqual(measured([x(3, 'p'), y(4), ['z', 0]]));
    // As text, as a chat or as a transcript, a prompt is the same one.
    const hi = metrics.length!.get('x')!.prompt;
    expect(hi).not.toBe('x');
    expect(metrics.length).toEqual(measured([x(6, hi)]));
    expect(metrics.reward).toEqual(measured([x(1.5, hi), y(-1)]));
    expect(metrics.winRate).toEqual(measured([x(1, hi), y(0.5, hi)]));
    expect(metrics.distinct1!.get('x')!.value).toBeCloseTo((0.5 + 1) / 2, 12);
    // (½ · ⅓ · .1/2 · .1)^¼ and e^(1 − 4/3) · (⅔ · ½ · .1 · .1)^¼, by hand.
    const [first, second] = [(0.5 / 3 / 200) ** 0.25, Math.exp(-1 / 3) * (1 / 300) ** 0.25];
    expect(metrics.selfBleu!.get('x')!.value).toBeCloseTo((first + second) / 2, 12);
  });

  it('knows how far a run went, and takes the KL of that step alone', async () => {
    const path = unfinish(run('crashed', { objective: { name: 'dpo' }, seed: 1 }, [pair('x', 0.5)]));
    writeFileSync(join(path, 'evaluations', 'step-9.kl.jsonl'), '{"id":"x","kl":9}\n');
    const evidence = await loadEvidence(path);
    expect(evidence).toMatchObject({ step: 10, finished: false });
    expect(Object.keys(evidence.metrics)).toEqual(['accuracy', 'margin', 'chosenLogRatio']);
    rmSync(join(path, 'evaluations'), { recursive: true });
    expect(await loadEvidence(path)).toMatchObject({ step: 10, metrics: {} });
    rmSync(join(path, 'metrics.jsonl'));
    expect(await loadEvidence(path)).toMatchObject({ step: undefined, metrics: {} });
    rmSync(join(path, 'model', 'config.json'));
    writeFileSync(join(path, 'model', 'adapter_model.safetensors'), '');
    expect(await loadEvidence(path)).toMatchObject({ finished: true });
  });

  it('says which runs hold out prompts that they train on', async () => {
    const paths = [5, 5, 0, undefined].map((promptsTrainedOn, i) => {
      const path = run(`overlap-${i}`, { objective: { name: 'dpo' }, seed: i }, [pair('x', 0.5)]);
      const provenance = { data: { eval: { rows: 40, promptsTrainedOn } } };
      writeFileSync(join(path, 'provenance.json'), JSON.stringify(provenance));
      return path;
    });
    const runs = await Promise.all(paths.map((path) => loadEvidence(path)));
    const { notes } = compareMethods(runs.map((each) => ({ name: each.path, runs: [each] })));
    expect(notes[0]).toBe(
      `${paths[0]}, ${paths[1]}: 5 of 40 held-out pairs have a prompt that is trained on: what is measured on them says little of other prompts.`,
    );
    expect(notes.slice(1).join()).not.toContain('trained on');
  });

  it('takes the last evaluation that was logged, not what a killed session left of a later one', async () => {
    const metrics = [{ step: 9, eval_loss: 0.5 }, { step: 10 }];
    const path = run('resumed', { objective: { name: 'dpo' } }, [pair('x', 0.5)], metrics);
    expect(await loadEvidence(path)).toMatchObject({
      step: 9,
      rewardAccuracy: { values: measured([['x', 0, 'p']]) },
    });
  });

  it('puts seeds of one recipe together', async () => {
    const recipe = (seed: number, beta: number) => ({
      objective: { name: 'dpo', beta },
      seed,
      output: `o${seed}`,
    });
    const paths = [
      run('m-seed-1', recipe(1, 0.1)),
      // How many checkpoints are kept, and on how many threads it is trained, decides nothing.
      run('m-seed-2', { ...recipe(2, 0.1), checkpoint: { keep: 3 }, threads: 2 }),
      run('m-beta', recipe(1, 0.5)),
    ];
    const methods = groupBySeed(await Promise.all(paths.map((path) => loadEvidence(path))));
    expect(methods.map(({ name, runs }) => [name, runs.length])).toEqual([
      ['m', 2],
      ['m-beta', 1],
    ]);
    await expect(loadEvidence(join(root, 'nowhere'))).rejects.toThrow(/is no run directory/);
  });

  it('names runs by the directory above where their own says nothing but the seed', async () => {
    const paths = ['dpo-5a3f1', 'theta'].flatMap((cell) =>
      [0, 1].map((seed) => run(`sweep/${cell}/seed-${seed}`, { objective: { name: cell }, seed })),
    );
    const methods = groupBySeed(await Promise.all(paths.map((path) => loadEvidence(path))));
    expect(methods.map(({ name, runs }) => [name, runs.length])).toEqual([
      ['dpo-5a3f1', 2],
      ['theta', 2],
    ]);
  });
});

describe('held-out accuracy', () => {
  /** What a model that has learnt nothing measures: its own likelihoods order most pairs, its gains none. */
  const untrained = (name: string, withLogRatios: boolean) => {
    const reward = (i: number) => (name === 'dpo' ? 0 : i % 6 === 0 ? -1 : 1);
    const rows = Array.from({ length: 24 }, (_, i) => ({
      id: `${i}`,
      prompt: `${i}`,
      loss: 0.7,
      win: (1 + Math.sign(reward(i))) / 2,
      chosenReward: reward(i),
      rejectedReward: 0,
      ...(withLogRatios && { chosenLogRatio: 0, rejectedLogRatio: 0 }),
    }));
    const metrics = [
      { step: 10, 'eval_kl/on_policy': 0, 'eval_rewards/accuracies': name === 'dpo' ? 0.5 : 5 / 6 },
    ];
    return run(`untrained-${name}-${withLogRatios}`, { objective: { name } }, rows, metrics);
  };
  const compared = async (...paths: string[]) =>
    compareMethods(groupBySeed(await Promise.all(paths.map((path) => loadEvidence(path)))));

  it('is alike for all objectives, so that a model that has learnt nothing is no better than another', async () => {
    const paths = [untrained('dpo', true), untrained('simpo', true)];
    const { methods, verdict } = await compared(...paths);
    expect(methods.map(({ metrics }) => metrics.accuracy!.estimate)).toEqual([0.5, 0.5]);
    expect(verdict[0]).toMatch(/^No difference shown .* held-out accuracy/);
    const lines = frontiers(paths);
    expect(lines.map(({ metric, points, notes }) => [metric, points[0]!.value, notes])).toEqual([
      ['log_ratio/accuracies', 0.5, []],
      ['log_ratio/accuracies', 0.5, []],
    ]);
  });

  it('by rewards of different kinds is not compared, for want of log-ratios', async () => {
    const [dpo, simpo, cpo] = [untrained('dpo', true), untrained('simpo', false), untrained('cpo', false)];
    const { comparisons, verdict, notes } = await compared(dpo, simpo);
    expect(comparisons.map(({ metric }) => metric)).not.toContain('accuracy');
    const why = 'it goes by rewards of different kinds: the gain on the reference, the reward of simpo';
    expect(verdict[0]).toContain(`not compared in held-out accuracy (${why})`);
    expect(notes).toContain(
      `Held-out accuracy goes by the reward of each run's own objective, as there are no log-ratios in ${simpo}.`,
    );
    expect((await compared(simpo, cpo)).verdict[0]).toContain('the reward of simpo, the reward of cpo');
    const ipo = untrained('ipo', false);
    expect((await compared(dpo, ipo)).comparisons.map(({ metric }) => metric)).toEqual(['accuracy']);
    expect(frontiers([dpo, simpo])[1]).toMatchObject({
      metric: 'rewards/accuracies',
      points: [{ value: 5 / 6 }],
      notes: [
        'simpo: rewards/accuracies go by the reward of simpo; lines by another reward cannot be compared with it.',
      ],
    });
  });

  it('knows what the rewards of an objective are of', () => {
    for (const name of ['dpo', 'wpo', 'odpo', 'f-dpo', 'mallows-phi', 'beta-dpo']) {
      expect(rewardKind({ name }), name).toBe(RELATIVE_REWARD);
    }
    for (const name of ['simpo', 'cpo', 'orpo', 'simper', 'alpha-dpo', 'one of my own']) {
      expect(rewardKind({ name }), name).toBe(`the reward of ${name}`);
    }
  });
});

it('w(x) of held-out pairs is what a run wrote of them, of answers what a file says', async () => {
  const lines = (...rows: readonly (readonly [string, number])[]) =>
    rows.map(([id, w]) => `${JSON.stringify({ id, negLogDispersion: w })}\n`).join('');
  const control = run('w-shuffled', { dispersion: { shuffle: true } });
  const theta = run('w-theta', { dispersion: { shuffle: false } });
  const dpo = run('w-dpo', {});
  writeFileSync(join(control, 'eval-dispersion.jsonl'), lines(['x', 9]));
  writeFileSync(join(theta, 'eval-dispersion.jsonl'), lines(['x', 1.5]));
  const file = join(root, 'w.jsonl');
  writeFileSync(file, lines(['y', 0.5]));
  const [own, given] = [new Map([['x', 1.5]]), new Map([['y', 0.5]])];
  const all = [dpo, control, theta];
  expect(await readWeights(all, undefined)).toEqual({ heldOut: own, answers: undefined });
  expect(await readWeights(all, file)).toEqual({ heldOut: own, answers: given });
  expect(await readWeights([dpo, control], file)).toEqual({ heldOut: given, answers: given });
});

describe('frontiers', () => {
  const evaluated = (step: number, kl: number, accuracy: number) => ({
    step,
    'eval_kl/on_policy': kl,
    'eval_rewards/accuracies': accuracy,
  });

  it('run along training, averaged over seeds', () => {
    const recipe = (seed: number) => ({ objective: { name: 'dpo', beta: 0.1 }, seed });
    const paths = [
      run('f-1', recipe(1), [], [evaluated(10, 1, 0.6), { step: 11 }, evaluated(20, 3, 0.7)]),
      run(
        'f-2',
        { ...recipe(2), checkpoint: { keep: 3 } },
        [],
        [evaluated(10, 2, 0.5), evaluated(20, 4, 0.8)],
      ),
    ];
    expect(frontiers(paths)).toEqual([
      {
        method: 'dpo, β = 0.1',
        metric: 'rewards/accuracies',
        points: [
          { at: 10, kl: 1.5, value: 0.55, runs: 2 },
          { at: 20, kl: 3.5, value: 0.75, runs: 2 },
        ],
        notes: [],
      },
    ]);
  });

  it('run over β through the ends of runs', () => {
    const recipe = (beta: number) => ({ objective: { name: 'mallows-phi', beta }, seed: 1 });
    const paths = [
      run('b-1', recipe(0.5), [], [evaluated(10, 1, 0.6), evaluated(20, 2, 0.65)]),
      run('b-2', recipe(0.1), [], [evaluated(20, 9, 0.8)]),
    ];
    expect(frontiers(paths, { over: 'beta' })).toEqual([
      {
        method: 'mallows-phi',
        metric: 'rewards/accuracies',
        points: [
          { at: 0.1, kl: 9, value: 0.8, runs: 1 },
          { at: 0.5, kl: 2, value: 0.65, runs: 1 },
        ],
        notes: [],
      },
    ]);
  });

  it('are named by what tells them apart', () => {
    const theta = { name: 'mallows-theta', beta: 0.1 };
    const lines = (over: 'steps' | 'beta', ...recipes: object[]) =>
      frontiers(
        recipes.map((recipe, i) => run(`n-${over}-${i}`, recipe, [], [evaluated(10, 1, 0.6)])),
        { over },
      ).map(({ method }) => method);
    const plain = { objective: theta, dispersion: { shuffle: false } };
    const control = { objective: theta, dispersion: { shuffle: true } };
    expect(lines('steps', plain, control)).toEqual([
      'mallows-theta, β = 0.1',
      'mallows-theta, shuffled, β = 0.1',
    ]);
    expect(lines('beta', plain, control)).toEqual(['mallows-theta', 'mallows-theta, shuffled']);
    expect(lines('steps', plain, { ...plain, optimizer: { lr: 1e-6 } }, control)).toEqual([
      'mallows-theta, β = 0.1 (n-steps-0)',
      'mallows-theta, β = 0.1 (n-steps-1)',
      'mallows-theta, shuffled, β = 0.1',
    ]);
    // The numbers at the end are of β, not of seeds.
    const tuned = ['slow', 'fast'].flatMap((lr) =>
      [0.1, 0.5].map((beta) =>
        run(`${lr}-${beta}`, { objective: { ...theta, beta }, lr }, [], [evaluated(10, 1, 0.6)]),
      ),
    );
    expect(frontiers(tuned, { over: 'beta' }).map(({ method }) => method)).toEqual([
      'mallows-theta (slow-0.1 and 1 more)',
      'mallows-theta (fast-0.1 and 1 more)',
    ]);
  });

  it('say which points are not the ends of runs', () => {
    const recipe = (beta: number) => ({ objective: { name: 'mallows-phi', beta }, seed: 1 });
    const whole = run('u-1', recipe(0.5), [], [evaluated(10, 1, 0.6), evaluated(20, 2, 0.65)]);
    const crashed = unfinish(run('u-2', recipe(0.1), [], [evaluated(10, 9, 0.8), { step: 11 }]));
    expect(frontiers([whole, crashed], { over: 'beta' })[0]!.notes).toEqual([
      `${crashed} did not finish: it holds no trained model, and its last evaluation is of step 10.`,
      `The last evaluations are of different steps: 10 (${crashed}); 20 (${whole}).`,
    ]);
  });

  it('say what is missing', () => {
    const path = run('f-none', { objective: { name: 'dpo' } }, [], [{ step: 1, eval_loss: 0.6 }]);
    expect(() => frontiers([path])).toThrow(/it has loss/);
  });
});
