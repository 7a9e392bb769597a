import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { notesOnEarlierRuns } from '../src/cli/sweep/earlier-runs.ts';
import { comparable, type PlannedRun, parseGrid, planSweep, requireCell } from '../src/cli/sweep/plan.ts';
import { collectResults, requireMetric } from '../src/cli/sweep/results.ts';
import { type RunningSweep, runSweep, type SweepEvent } from '../src/cli/sweep/run.ts';
import { writtenRecipe } from '../src/config/index.ts';
import { UsageError } from '../src/errors.ts';
import { sweepReport, sweepVerdict, writeSweepReport } from '../src/experiments/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'mallows-sweep-'));
afterAll(() => rmSync(folder, { recursive: true }));

const STORIES = 'tests/fixtures/models/stories260K/stories260K-f32.gguf';
const SET = [`model=${STORIES}`, 'data=pairs.jsonl'];

describe('parseGrid', () => {
  it('splits at commas that are not inside a value', () => {
    expect(parseGrid('objective.beta=0.1, 0.5')).toEqual({ key: 'objective.beta', values: ['0.1', '0.5'] });
    expect(parseGrid('optimizer.betas=[0.9, 0.99],[0.8, 0.9]').values).toEqual(['[0.9, 0.99]', '[0.8, 0.9]']);
  });
  it('refuses what it cannot use', () => {
    expect(() => parseGrid('objective.beta')).toThrow('key=value,value');
    expect(() => parseGrid('seed=1,1')).toThrow('twice');
  });
});

describe('planSweep', () => {
  const plan = (grid: readonly string[], more: object = {}) =>
    planSweep({
      file: undefined,
      set: SET,
      grid: grid.map(parseGrid),
      seeds: 2,
      output: 'out',
      controls: true,
      ...more,
    });

  it('puts a shuffled control beside what is weighted by dispersion, and nowhere else', () => {
    const { cells, runs } = plan(['objective.name=dpo,mallows-theta', 'objective.beta=0.1,0.5']);
    expect(cells.map(({ name, control }) => [name, control])).toEqual([
      ['dpo, beta 0.1', false],
      ['dpo, beta 0.5', false],
      ['mallows-theta, beta 0.1', false],
      ['mallows-theta, shuffled, beta 0.1', true],
      ['mallows-theta, beta 0.5', false],
      ['mallows-theta, shuffled, beta 0.5', true],
    ]);
    expect(runs).toHaveLength(12);
    expect(new Set(runs.map(({ path }) => path)).size).toBe(12);
    expect(runs[3]!.args).toContain('dispersion.shuffle=true');
    expect(plan(['objective.name=dpo,mallows-theta'], { controls: false }).cells).toHaveLength(2);
    expect(plan(['objective.name=mallows-theta', 'dispersion.shuffle=false']).cells).toHaveLength(1);
  });

  it('gives a cell the same directory whatever else is in the grid', () => {
    const paths = (grid: string) => plan([grid]).runs.map(({ path }) => path);
    const [few, many] = [paths('objective.beta=0.1'), paths('objective.beta=0.05,0.1')];
    expect(few.every((path) => many.includes(path))).toBe(true);
  });

  it('gives a cell the same directory however it is computed and kept', () => {
    const paths = (...set: string[]) =>
      plan(['objective.beta=0.1'], { set: [...SET, ...set] }).runs.map(({ path }) => path);
    expect(paths('checkpoint.keep=3', 'threads=2')).toEqual(paths());
    expect(paths('steps=3')).not.toEqual(paths());
  });

  it('knows which finished runs are trained anew, and why', () => {
    const output = join(folder, 'earlier');
    const of = (...set: string[]) =>
      plan(['objective.name=dpo,ipo'], { output, set: [...SET, 'steps=2', ...set] });
    const [before, now] = [of('optimizer.lr=2e-6'), of('optimizer.lr=1e-6')];
    const write = (path: string, recipe: object, name = 'report.json') => {
      mkdirSync(path, { recursive: true });
      writeFileSync(join(path, 'recipe.yaml'), stringify(recipe));
      writeFileSync(join(path, name), '{}');
    };
    expect(notesOnEarlierRuns(now, output)).toEqual([]);
    for (const { path, seed } of before.runs.filter(({ cell }) => cell === 'dpo')) {
      write(path, writtenRecipe({ ...before.cells[0]!.recipe, seed, output: path }));
    }
    const ipo = before.runs.find(({ cell }) => cell === 'ipo')!;
    write(ipo.path, writtenRecipe(before.cells[1]!.recipe), 'unfinished');
    const [first, second] = now.runs.filter(({ cell }) => cell === 'dpo');
    expect(notesOnEarlierRuns(now, output)).toEqual([
      `dpo: trained anew beside ${before.runs[0]!.path} and 1 more, which finished with another recipe. First difference: "optimizer.lr: 0.000002" there, "optimizer.lr: 0.000001" asked for.`,
    ]);
    expect(notesOnEarlierRuns(before, output)).toEqual([]);
    // A directory of a fingerprint that was made otherwise.
    const renamed = dirname(first!.path).replace(/[0-9a-f]{8}$/, '00000000');
    write(join(renamed, 'seed-1'), writtenRecipe({ ...now.cells[0]!.recipe, seed: 1 }));
    write(first!.path, writtenRecipe({ ...now.cells[0]!.recipe, seed: 0 }));
    expect(notesOnEarlierRuns(now, output).toSorted()).toEqual([
      expect.stringContaining(
        `dpo: trained anew beside ${before.runs[2]!.path}, which finished with another`,
      ),
      `dpo: trained anew, although ${join(renamed, 'seed-1')} finished with the same recipe. To keep such a run, move it to ${second!.path}.`,
    ]);
  });

  it('knows which runs share a reference pass', () => {
    const shared = plan(['objective.name=dpo,mallows-theta,simpo'], { seeds: 1 }).runs;
    expect(shared[0]!.referenceKey).toBeDefined();
    expect(shared[1]!.referenceKey).toBe(shared[0]!.referenceKey);
    expect(shared.at(-1)!.referenceKey).toBeUndefined();
    // Under every seed the same pairs are held out.
    const [first, second] = plan(['objective.name=dpo'], { seeds: 2 }).runs;
    expect(first!.referenceKey).toBe(second!.referenceKey);
    const fractions = plan(['eval_fraction=0.1,0.2', 'objective.name=dpo'], { seeds: 1 }).runs;
    expect(new Set(fractions.map(({ referenceKey }) => referenceKey)).size).toBe(2);
  });

  it('stops before training when a cell is wrong', () => {
    expect(() => plan(['objective.beta=0.1,-1'])).toThrow('beta');
    expect(() => plan(['seed=1,2'])).toThrow('chooses seeds');
  });

  it('names its cells to whom asks for another one', () => {
    const { cells } = plan(['objective.name=dpo,ipo', 'objective.beta=0.1']);
    expect(() => requireCell('dpo, beta 0.1', cells)).not.toThrow();
    expect(() => requireCell('dpo', cells)).toThrowError(
      expect.objectContaining({
        code: 'sweep-baseline',
        hint: 'Choose one of: "dpo, beta 0.1", "ipo, beta 0.1".',
      }),
    );
  });

  it('says of what a run reads all that it hangs on', () => {
    const inputs = (...set: string[]) =>
      plan(['objective.name=dpo'], { set: [...SET, ...set] }).runs[0]!.inputs;
    expect(inputs('objective.beta=0.5')).toEqual(inputs());
    expect(inputs().heldOut).toBeUndefined();
    expect(inputs('eval_data=held.jsonl').heldOut).toContain('held.jsonl');
    expect(inputs('data=other.jsonl')).toMatchObject({ model: inputs().model });
    for (const one of ['data=other.jsonl', 'model=other', 'format=chat', 'columns.chosen=c']) {
      expect(inputs(one).train, one).not.toBe(inputs().train);
    }
  });

  it('compares objectives at equal settings', () => {
    const test = comparable(plan(['objective.name=dpo,mallows-theta', 'objective.beta=0.1,0.5']).cells);
    expect(test('dpo, beta 0.1', 'mallows-theta, beta 0.1')).toBe(true);
    expect(test('mallows-theta, beta 0.1', 'mallows-theta, shuffled, beta 0.1')).toBe(true);
    expect(test('dpo, beta 0.1', 'mallows-theta, beta 0.5')).toBe(false);
    const rates = comparable(plan(['optimizer.lr=1e-6,2e-6'], { set: [...SET, 'objective.name=dpo'] }).cells);
    expect(rates('dpo, lr 1e-6', 'dpo, lr 2e-6')).toBe(true);
  });
});

describe('runSweep', () => {
  /** A program that writes what a training would: its first argument is the behaviour. */
  const program = join(folder, 'fake.mjs');
  writeFileSync(
    program,
    `import { appendFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
const [behaviour, path, log] = process.argv.slice(2);
const note = (text) => appendFileSync(log, text + ' ' + path.split('/').at(-1) + '\\n');
mkdirSync(path, { recursive: true });
note('begin');
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
if (behaviour === 'data') { process.stderr.write('no rows\\n'); process.exit(3); }
if (behaviour === 'once' && !existsSync(path + '/tried')) {
  writeFileSync(path + '/tried', ''); process.stderr.write('out of luck\\n'); process.exit(1);
}
if (behaviour === 'wait' || behaviour === 'full') {
  process.stdin.resume().on('end', () => {
    note('stopped');
    if (behaviour === 'full') process.stderr.write('error: no space left on the disk\\n');
    process.exit(behaviour === 'full' ? 1 : 130);
  });
  process.stdout.write('{"event":"step","step":1,"totalSteps":9}\\n');
  await sleep(30000);
}
await sleep(300);
process.stdout.write('{"event":"phase","phase":"train"}\\n');
note('train');
await sleep(300);
writeFileSync(path + '/report.json', '{}');
note('end');
`,
  );

  function sweepOf(name: string, behaviours: readonly string[], more: Partial<RunningSweep> = {}) {
    const log = join(folder, `${name}.log`);
    writeFileSync(log, '');
    const runs = behaviours.map((behaviour, index): PlannedRun => {
      const path = join(folder, name, `run-${index}`);
      const inputs = { model: 'model', train: 'pairs', heldOut: undefined };
      const args = [behaviour, path, log];
      const said = join(folder, name, 'logs', `run-${index}.log`);
      return { cell: `cell ${index}`, seed: 0, path, log: said, args, inputs, referenceKey: 'same' };
    });
    const sweep = {
      command: [process.execPath, program],
      runs,
      parallel: 1,
      retries: 1,
      threads: 1,
      ...more,
    };
    return { sweep, lines: () => readFileSync(log, 'utf8').trim().split('\n') };
  }

  it('retries what may heal, and reports what does not', async () => {
    const { sweep } = sweepOf('retry', ['once', 'data', 'fine']);
    const outcomes = await runSweep(sweep);
    expect(outcomes.map(({ status, attempts, error }) => [status, attempts, error])).toEqual([
      ['finished', 2, undefined],
      ['failed', 1, 'no rows'],
      ['finished', 1, undefined],
    ]);
    expect(readFileSync(sweep.runs[0]!.log, 'utf8')).toBe('out of luck\n');
    const again = await runSweep({ ...sweep, retries: 0 });
    expect(again.map(({ status }) => status)).toEqual(['kept', 'failed', 'kept']);
  });

  it('lets one run do the reference pass before the others begin', async () => {
    const { sweep, lines } = sweepOf('shared', ['fine', 'fine', 'fine'], { parallel: 3 });
    await runSweep(sweep);
    expect(lines().slice(0, 2)).toEqual(['begin run-0', 'train run-0']);
    const [second, third] = [lines().indexOf('begin run-1'), lines().indexOf('begin run-2')];
    expect(Math.max(second, third)).toBeLessThan(
      Math.min(lines().indexOf('end run-1'), lines().indexOf('end run-2')),
    );
  });

  it('ends with the first run that is of no use, and keeps what is trained', async () => {
    const checkRun = ({ cell }: PlannedRun) => {
      throw new UsageError('sweep-metric', `nothing of ${cell}`);
    };
    const { sweep, lines } = sweepOf('useless', ['fine', 'fine', 'fine'], { checkRun });
    await expect(runSweep(sweep)).rejects.toThrow('nothing of cell 0');
    expect(lines()).toEqual(['begin run-0', 'train run-0', 'end run-0']);
    // Kept runs are looked at before anything begins.
    await expect(runSweep(sweep)).rejects.toThrow('nothing of cell 0');
    expect(lines()).toHaveLength(3);
    const { checkRun: _, ...useful } = sweep;
    const outcomes = await runSweep(useful);
    expect(outcomes.map(({ status }) => status)).toEqual(['kept', 'finished', 'finished']);
  });

  it('names the metrics that there are to whom asks for another one', () => {
    const path = join(folder, 'measured');
    mkdirSync(path);
    writeFileSync(join(path, 'recipe.yaml'), '{}');
    writeFileSync(
      join(path, 'metrics.jsonl'),
      '{"step":1,"loss":1,"eval_loss":0.5,"eval_rewards/margins":1}\n',
    );
    expect(() => requireMetric({ path }, 'loss')).not.toThrow();
    expect(() => requireMetric({ path }, 'lossy')).toThrowError(
      expect.objectContaining({
        code: 'sweep-metric',
        message: `${path} was not measured by lossy; on held-out pairs it has loss, rewards/margins.`,
        hint: 'Did you mean loss? What is trained is kept: give the same command with another --metric.',
      }),
    );
  });

  it('stops running trainings, and begins no more', async () => {
    const controller = new AbortController();
    const onEvent = ({ type }: SweepEvent) => type === 'step' && controller.abort();
    const { sweep, lines } = sweepOf('stop', ['wait', 'fine'], { signal: controller.signal, onEvent });
    const outcomes = await runSweep(sweep);
    expect(outcomes.map(({ status }) => status)).toEqual(['interrupted', 'interrupted']);
    expect(lines()).toEqual(['begin run-0', 'stopped run-0']);
  });

  it('tells a training that could not save where it was from one that stopped', async () => {
    const controller = new AbortController();
    const onEvent = ({ type }: SweepEvent) => type === 'step' && controller.abort();
    const { sweep, lines } = sweepOf('full', ['full', 'fine'], { signal: controller.signal, onEvent });
    const outcomes = await runSweep(sweep);
    expect(outcomes.map(({ status, error }) => [status, error])).toEqual([
      ['failed', 'error: no space left on the disk'],
      ['interrupted', undefined],
    ]);
    expect(lines()).toEqual(['begin run-0', 'stopped run-0']);
  });
});

describe('a sweep of real trainings', () => {
  it('trains every cell with its control, and a second time keeps them', { timeout: 180_000 }, async () => {
    const data = join(folder, 'pairs.jsonl');
    writeFileSync(
      data,
      Array.from({ length: 12 }, (_, i) =>
        JSON.stringify({
          prompt: `Once upon a time there was number ${i}.`,
          chosen: ` She ran home ${'and sang '.repeat(i % 4)}.`,
          rejected: ' It was a very big dog.',
        }),
      ).join('\n'),
    );
    const output = join(folder, 'real');
    const plan = planSweep({
      file: undefined,
      set: [
        `model=${STORIES}`,
        `data=${data}`,
        'eval_fraction=0.25',
        'steps=2',
        'dtype=fp32',
        'eval.samples=0',
      ],
      grid: ['objective.name=dpo,mallows-theta'].map(parseGrid),
      seeds: 1,
      output,
      controls: true,
    });
    const cli = ['tests/support/run-typescript.mjs', 'tests/support/cli-process.ts'];
    const sweep = {
      command: [process.execPath, ...cli],
      runs: plan.runs,
      parallel: 1,
      retries: 0,
      threads: 1,
    };
    const outcomes = await runSweep(sweep);
    expect(outcomes.map(({ status, error }) => [status, error])).toEqual(
      plan.runs.map(() => ['finished', undefined]),
    );
    const report = sweepReport({
      settings: {
        recipe: null,
        set: [],
        grid: { 'objective.name': ['dpo', 'mallows-theta'] },
        seeds: 1,
        metric: 'rewards/margins',
        baseline: null,
        higherIsBetter: true,
        controls: plan.cells.filter(({ control }) => control).map(({ name }) => name),
      },
      ...collectResults(outcomes),
      compares: comparable(plan.cells),
    });
    expect(report.cells.map(({ cell }) => cell)).toEqual(['dpo', 'mallows-theta', 'mallows-theta, shuffled']);
    const margins = report.cells.map(({ metrics }) => metrics['rewards/margins']!.mean);
    expect(margins[1]).not.toBe(margins[2]);
    expect(report.summary!.unmeasured).toHaveLength(3);
    expect(sweepVerdict(report)[0]).toContain('Best by rewards/margins');
    await writeSweepReport(output, report);
    expect(existsSync(join(output, 'figures/cells.svg'))).toBe(true);
    expect(readFileSync(join(output, 'report.html'), 'utf8')).toContain('mallows-theta, shuffled');
    expect((await runSweep(sweep)).every(({ status }) => status === 'kept')).toBe(true);
  });
});
