import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { engineInfo, setThreads } from '../src/engine/index.ts';
import { STORIES as MODEL, runMallows } from './support/mallows.ts';

/*
 * The commands as people call them, on a trained model of 260,000 weights: files in, files out, exit codes. What the
 * numbers have to be is the business of the parity suites.
 */

const PAIRS = [
  {
    id: 'a',
    prompt: 'Once upon a time',
    chosen: ' there was a girl named Lily.',
    rejected: ' a car was big.',
  },
  { id: 'b', prompt: 'Tom liked', chosen: ' to play with his dog in the park.', rejected: ' sad sad sad.' },
  { id: 'same', prompt: 'Tom', chosen: ' ran.', rejected: ' ran.' },
  { id: 'c', prompt: 'The cat', chosen: ' sat on the mat and was happy.', rejected: ' blue.' },
  { id: 'd', prompt: 'One day', chosen: ' they went to the beach.', rejected: ' no no no.' },
];

let folder: string;
let data: string;
const at = (name: string): string => join(folder, name);
const jsonLines = (text: string) =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, never>);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mallows-cli-'));
  data = at('pairs.jsonl');
  writeFileSync(data, PAIRS.map((pair) => `${JSON.stringify(pair)}\n`).join(''));
  vi.stubEnv('MALLOWS_CACHE', at('cache'));
  setThreads(1);
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

describe('score', () => {
  it('writes a line a pair in the order of the data and lists what was left out', async () => {
    const output = at('scores.jsonl');
    const { code, stdout, stderr } = await runMallows(
      'score',
      '--model',
      MODEL,
      '--data',
      data,
      '--output',
      output,
      '--json',
    );
    expect(code, stderr).toBe(0);
    expect(jsonLines(stdout)).toEqual([{ event: 'done', output, pairs: 4 }]);
    expect(stderr).toContain('1 row left out: 1 identical-completions');
    expect(stderr).toContain(`${data}:3`);
    const lines = jsonLines(readFileSync(output, 'utf8'));
    expect(lines.map(({ id }) => id)).toEqual(['a', 'b', 'c', 'd']);
    for (const { chosen, rejected } of lines as unknown as Record<
      'chosen' | 'rejected',
      Record<string, number>
    >[]) {
      for (const side of [chosen, rejected]) {
        expect(Object.keys(side)).toEqual(['tokens', 'logp', 'entropy']);
        expect(side.logp).toBeLessThan(0);
        expect(side.entropy).toBeGreaterThan(0);
      }
      // A model of stories finds stories likelier than nonsense.
      expect(chosen.logp! / chosen.tokens!).toBeGreaterThan(rejected.logp! / rejected.tokens!);
    }
  });

  it('stops at the first bad row when strict, with exit code 3', async () => {
    const output = at('strict.jsonl');
    const { code, stderr } = await runMallows(
      'score',
      '--model',
      MODEL,
      '--data',
      data,
      '--output',
      output,
      '--strict',
    );
    expect(code).toBe(3);
    expect(stderr).toContain(`${data}:3`);
    expect(existsSync(output)).toBe(false);
  });
});

describe('the maximum length', () => {
  it.each(['score', 'dispersion'])('of %s is the model’s context where that is shorter', async (command) => {
    const long = { id: 'long', prompt: 'Once upon a time. '.repeat(150), chosen: ' Yes.', rejected: ' No.' };
    writeFileSync(at('long.jsonl'), [...PAIRS, long].map((pair) => `${JSON.stringify(pair)}\n`).join(''));
    const given = [command, '--model', MODEL, '--data', at('long.jsonl'), '--output', at('long-out.jsonl')];
    const { code, stderr } = await runMallows(...given);
    expect(code, stderr).toBe(0);
    expect(stderr).toContain('prompt-too-long');
    expect(stderr).not.toContain('longer than the 512 tokens');
    expect((await runMallows(...given, '--max-length', '4096')).stderr).toContain(
      'longer than the 512 tokens',
    );
  });
});

describe('dispersion', () => {
  it('writes weights of mean one, their summary and a histogram', async () => {
    const output = at('dispersion.jsonl');
    const { code, stdout, stderr } = await runMallows(
      'dispersion',
      '--model',
      MODEL,
      '--data',
      data,
      '--output',
      output,
    );
    expect(code, stderr).toBe(0);
    const lines = jsonLines(readFileSync(output, 'utf8')) as unknown as Record<string, number>[];
    const summary = JSON.parse(readFileSync(at('dispersion.summary.json'), 'utf8'));
    expect(Object.keys(summary)).toEqual(['phiStar', 'vocabularySize', 'count', 'mean', 'sd', 'skew']);
    expect(summary).toMatchObject({ vocabularySize: 512, count: 4 });
    expect(summary.mean).toBeCloseTo(1, 12);
    for (const { entropy, negLogDispersion, dispersion } of lines) {
      expect(negLogDispersion).toBeCloseTo(-summary.phiStar * Math.log(entropy!), 12);
      expect(dispersion).toBeCloseTo(Math.exp(-negLogDispersion!), 12);
    }
    expect(readFileSync(at('dispersion.histogram.svg'), 'utf8')).toContain('<svg');
    expect(readFileSync(at('dispersion.histogram.png')).subarray(1, 4).toString()).toBe('PNG');
    expect(stdout).toContain('Most dispersed (smallest w). Where the model would accept many answers:');
    expect(stdout).toContain('Once upon a time');
  });

  it('reads votes without a model, and leaves contested pairs out unless a floor is given', async () => {
    const voted = at('voted.jsonl');
    const votes = [
      [3, 0],
      [1, 1],
      [2, 1],
    ].map(([chosen, rejected]) => ({ chosen, rejected }));
    const rows = votes.map((own, index) => ({ ...PAIRS[index === 2 ? 3 : index]!, votes: own }));
    writeFileSync(voted, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const ask = async (...more: string[]) => {
      const output = at('voted-dispersion.jsonl');
      const given = ['--source', 'votes', '--data', voted, '--output', output];
      const { code, stdout, stderr } = await runMallows('dispersion', ...given, ...more);
      expect(code, stderr).toBe(0);
      const lines = jsonLines(readFileSync(output, 'utf8')) as unknown as { negLogDispersion: number }[];
      return { lines, stdout, stderr };
    };
    const { lines, stdout, stderr } = await ask();
    expect(stdout).toContain('Most dispersed (smallest w). Where annotators disagreed:');
    expect(stdout).not.toContain('the model');
    expect(lines.map((line) => Object.keys(line))).toEqual([
      ['id', 'negLogDispersion', 'dispersion'],
      ['id', 'negLogDispersion', 'dispersion'],
    ]);
    const ratio = Math.log(3.5 / 0.5) / Math.log(2.5 / 1.5);
    expect(lines[0]!.negLogDispersion / lines[1]!.negLogDispersion).toBeCloseTo(ratio, 10);
    expect(stderr).toContain('1 contested pairs are left out');
    expect((await ask('--floor', '0.1')).lines).toHaveLength(3);
  });

  it('refuses a floor of what reads no votes, before it computes', async () => {
    for (const source of ['entropy', 'column']) {
      const given = ['--source', source, '--floor', '0.1', '--model', 'nowhere/model', '--data', data];
      const { code, stderr } = await runMallows('dispersion', ...given, '--output', at('none.jsonl'));
      expect([code, stderr]).toEqual([2, expect.stringContaining('floor-without-votes')]);
    }
  });

  it('from entropies needs a model', async () => {
    const { code, stderr } = await runMallows('dispersion', '--data', data, '--output', at('none.jsonl'));
    expect(code).toBe(2);
    expect(stderr).toContain('Give --model');
  });
});

describe('generate and export', () => {
  it('answers a file of prompts; an exported model answers the same', async () => {
    const prompts = at('prompts.jsonl');
    writeFileSync(prompts, '{"id":"x","prompt":"Once upon a time"}\n{"id":"y","prompt":"The cat"}\n');
    const ask = async (model: string, output: string) => {
      const { code, stderr } = await runMallows(
        ...[
          'generate',
          '--model',
          model,
          '--prompts',
          prompts,
          '--greedy',
          '--max-new-tokens',
          '12',
          '--output',
          output,
        ],
      );
      expect(code, stderr).toBe(0);
      return jsonLines(readFileSync(output, 'utf8'));
    };
    const answers = await ask(MODEL, at('answers.jsonl'));
    expect(answers.map(({ id, prompt }) => [id, prompt])).toEqual([
      ['x', 'Once upon a time'],
      ['y', 'The cat'],
    ]);
    const [first] = answers[0]!.completions as unknown as {
      text: string;
      tokens: number[];
      finish: string;
    }[];
    expect(first!.text).toContain('there was a little girl');
    expect(first!.tokens).toHaveLength(12);
    expect(first!.finish).toBe('length');

    expect((await runMallows('export', '--model', MODEL, '--to', at('model'))).code).toBe(0);
    expect(
      (await runMallows('export', '--model', at('model'), '--to', at('model.gguf'), '--dtype', 'f32')).code,
    ).toBe(0);
    expect(await ask(at('model'), at('answers-2.jsonl'))).toEqual(answers);
    expect(await ask(at('model.gguf'), at('answers-3.jsonl'))).toEqual(answers);
  });

  it('answers a prompt that pairs repeat once', async () => {
    const pair = (chosen: string) => ({ prompt: 'One day', chosen, rejected: 'no' });
    writeFileSync(
      at('repeated.jsonl'),
      [pair('a'), pair('b')].map((row) => `${JSON.stringify(row)}\n`).join(''),
    );
    const argv = [
      'generate',
      '--model',
      MODEL,
      '--prompts',
      at('repeated.jsonl'),
      '--greedy',
      '--max-new-tokens',
      '2',
    ];
    const { stdout, stderr } = await runMallows(...argv, '--json');
    expect(stderr).toContain('1 of 2 rows repeat a prompt');
    expect(jsonLines(stdout).map(({ event }) => event)).toEqual(['sampling', 'answer', 'done']);
  });

  it('samples as the seed says', async () => {
    const draw = async (seed: string) =>
      (
        await runMallows(
          ...['generate', '--model', MODEL, '--prompt', 'One day', '--n', '2', '--temperature', '1'],
          ...['--seed', seed, '--max-new-tokens', '8', '--json'],
        )
      ).stdout;
    const once = await draw('1');
    expect(jsonLines(once)[0]).toMatchObject({ event: 'sampling', greedy: false, temperature: 1 });
    expect(jsonLines(once)[1]!.completions).toHaveLength(2);
    expect(await draw('1')).toBe(once);
    expect(await draw('2')).not.toBe(once);
  });

  it('refuses contradictions with exit code 2', async () => {
    expect((await runMallows('generate', '--model', MODEL)).code).toBe(2);
    const both = await runMallows(
      'generate',
      '--model',
      MODEL,
      '--prompt',
      'x',
      '--greedy',
      '--temperature',
      '1',
    );
    expect(both.code).toBe(2);
    expect(both.stderr).toContain('--temperature');
    expect((await runMallows('export', '--model', MODEL, '--to', at('d'), '--dtype', 'q8_0')).code).toBe(2);
  });
});

describe('train', () => {
  const recipe = (...more: string[]): string[] => [
    ...['train', '--model', MODEL, '--data', data, '--eval-data', data, '--output', at('run')],
    ...[
      '--set',
      'steps=3',
      '--set',
      'optimizer.lr=1e-3',
      '--set',
      'batch.pairs=2',
      '--set',
      'eval.samples=1',
    ],
    ...['--set', 'eval.max_new_tokens=4', '--set', 'eval.kl_samples=1', ...more],
  ];

  it('explains, trains, reports, refuses to overwrite, and goes on where it is asked to', async () => {
    const explained = await runMallows(...recipe('--explain'));
    expect(explained.stdout).toMatch(/^ {2}lr: 0\.001 +# --set$/m);
    expect(existsSync(at('run'))).toBe(false);

    const { code, stdout, stderr } = await runMallows(...recipe('--json'));
    expect(code, stderr).toBe(0);
    const events = jsonLines(stdout) as unknown as { event: string; step?: number }[];
    expect(events.filter(({ event }) => event === 'step').map(({ step }) => step)).toEqual([1, 2, 3]);
    expect(events.at(-1)).toMatchObject({ event: 'done', output: at('run'), finished: true, steps: 3 });
    for (const file of ['recipe.yaml', 'provenance.json', 'metrics.jsonl', 'report.html', 'report.json']) {
      expect(existsSync(join(at('run'), file)), file).toBe(true);
    }
    const report = JSON.parse(readFileSync(join(at('run'), 'report.json'), 'utf8'));
    expect(report.heldOut).toMatchObject({ pairs: 4, lossBefore: expect.closeTo(Math.LN2, 6) });
    expect(report.dispersion).toMatchObject({ source: 'entropy', shuffled: false });
    const page = readFileSync(join(at('run'), 'report.html'), 'utf8');
    for (const words of ['Before and after', 'Most dispersed prompts', 'Once upon a time', 'Provenance']) {
      expect(page).toContain(words);
    }
    expect(existsSync(join(at('run'), 'model', 'model.safetensors'))).toBe(true);

    const again = await runMallows(...recipe());
    expect(again.code).toBe(2);
    expect(again.stderr).toContain('--resume');
    const metrics = readFileSync(join(at('run'), 'metrics.jsonl'), 'utf8');
    const resumed = await runMallows('train', join(at('run'), 'recipe.yaml'), '--resume');
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(readFileSync(join(at('run'), 'metrics.jsonl'), 'utf8')).toBe(metrics);
  });

  it('saves a checkpoint when interrupted, says how to go on, and ends in the same weights', async () => {
    const output = at('broken-off');
    const args = recipe('--output', output);
    const seen = vi.fn();
    const interrupted = runMallows(...args, '--json');
    // The loop yields between steps; the signal is there before the first one ends.
    const poll = setInterval(() => {
      if (existsSync(join(output, 'evaluations', 'step-0.jsonl'))) {
        clearInterval(poll);
        seen();
        process.emit('SIGINT', 'SIGINT');
      }
    }, 1);
    const { code, stderr } = await interrupted;
    clearInterval(poll);
    expect(seen).toHaveBeenCalledOnce();
    expect(code, stderr).toBe(130);
    expect(stderr).toContain(`mallows train ${join(output, 'recipe.yaml')} --resume`);
    const resumed = await runMallows('train', join(output, 'recipe.yaml'), '--resume');
    expect(resumed.code, resumed.stderr).toBe(0);
    for (const file of ['metrics.jsonl', join('model', 'model.safetensors')]) {
      expect(readFileSync(join(output, file)).equals(readFileSync(join(at('run'), file))), file).toBe(true);
    }
  });

  it('multiplies fp32 as precisely as it is asked to', async () => {
    const metrics = async (name: string, ...more: string[]) => {
      const { code, stderr } = await runMallows(
        ...recipe('--set', 'dtype=fp32', '--output', at(name), ...more),
      );
      expect(code, stderr).toBe(0);
      return readFileSync(join(at(name), 'metrics.jsonl'), 'utf8');
    };
    const medium = await metrics('medium', '--set', 'matmul_precision=medium');
    const highest = await metrics('highest');
    expect(readFileSync(join(at('medium'), 'recipe.yaml'), 'utf8')).toContain('matmul_precision: medium');
    // Where neither we nor libtorch have such products, both are IEEE fp32.
    if (engineInfo().products.bfloat16 !== 'libtorch') expect(medium).not.toBe(highest);
  });

  it('tells every problem of a recipe, and what data are missing', async () => {
    const wrong = await runMallows(...recipe('--set', 'modle=x', '--objective', 'mallow-theta'));
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain('did you mean model?');
    const missing = await runMallows(
      'train',
      '--model',
      MODEL,
      '--data',
      at('none.jsonl'),
      '--output',
      at('none'),
    );
    expect(missing.code).toBe(3);
    expect(missing.stderr).toContain('none.jsonl');
    expect((await runMallows('train', 'no-such-recipe.yaml')).code).toBe(2);
    const unknown = await runMallows('trian');
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain('Did you mean train?');
  });
});

describe('sft', () => {
  it('fine-tunes on the chosen sides and reports', async () => {
    const { code, stderr } = await runMallows(
      ...['sft', '--model', MODEL, '--data', data, '--output', at('sft'), '--set', 'steps=2'],
      ...['--set', 'eval.samples=0', '--set', 'eval_fraction=0.3'],
    );
    expect(code, stderr).toBe(0);
    expect(existsSync(join(at('sft'), 'report.html'))).toBe(true);
    expect(existsSync(join(at('sft'), 'model', 'model.safetensors'))).toBe(true);
    const report = JSON.parse(readFileSync(join(at('sft'), 'report.json'), 'utf8'));
    expect(report.verdict[0]).toMatch(/held-out texts the loss/i);
    expect(report.heldOutTexts).toMatchObject({ before: { step: 0 }, after: { step: 2 } });
    const chart = readFileSync(join(at('sft'), 'figures', 'loss.svg'), 'utf8');
    expect(chart).toContain('nats a token');
    expect(chart).not.toContain('ln 2');
  });
});
