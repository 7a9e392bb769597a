import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { setThreads } from '../src/engine/index.ts';
import { type ComparisonReport, METRICS } from '../src/evaluate/index.ts';
import { trainingReport } from '../src/report/index.ts';
import { runMallows } from './support/mallows.ts';

setThreads(1);

const STORIES = fileURLToPath(new URL('./fixtures/models/stories260K/stories260K-f32.gguf', import.meta.url));

const executable = [
  process.env.CHROMIUM_PATH,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
]
  .filter((path) => path !== undefined)
  .find((path) => existsSync(path));
if (executable === undefined)
  console.log('report in a browser: skipped, no Chromium found (set CHROMIUM_PATH)');

const hostile = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>';

async function mallows(...argv: string[]): Promise<void> {
  const { code, stderr } = await runMallows(...argv);
  expect(code, `${argv.join(' ')}\n${stderr}`).toBe(0);
}

/** The whole walk on a very small model: two runs, their answers, a reward model that scores and judges them, the page. */
async function comparisonPage(directory: string): Promise<string> {
  const at = (name: string) => join(directory, name);
  const names = ['Lily', 'Tom', 'Sam', 'Mia', 'Ben', 'Anna', 'Max', 'Sue', 'Tim', 'Amy', 'Jack', 'Ella'];
  const pairs = (set: string, more: readonly string[]) => {
    const rows = [...names.map((name) => `${set} ${name} was a child.`), ...more].flatMap((prompt, i) =>
      ['ball', 'hat'].map((thing) => ({
        id: `${set}-${i}-${thing}`,
        prompt,
        chosen: ` There was a big red ${thing}. It was fun to play.`,
        rejected: ` The ${thing} was lost and sad.`,
      })),
    );
    writeFileSync(at(`${set}.jsonl`), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    return at(`${set}.jsonl`);
  };
  const data = ['--data', pairs('Once', []), '--eval-data', pairs('Then', [hostile])];
  const held = at('Then.jsonl');
  const small = [
    'steps=8',
    'batch.pairs=6',
    'optimizer.lr=1e-3',
    'eval.kl_samples=8',
    'eval.max_new_tokens=24',
  ];
  const settings = [...small, 'format=text', 'dtype=fp32'].flatMap((setting) => ['--set', setting]);
  const reward = ['--model', at('reward/model')];
  const trained = ['--steps', '8', '--batch', '6', '--lr', '1e-3', '--dtype', 'fp32', '--format', 'text'];
  await mallows('reward', 'train', '--model', STORIES, ...data, ...trained, '--output', at('reward'));
  const runs = ['dpo', 'mallows-theta'].map(at);
  for (const run of runs) {
    const answers = join(run, 'answers.jsonl');
    const objective = ['--objective', basename(run), '--output', run];
    await mallows('train', '--model', STORIES, ...data, ...objective, ...settings);
    const sampled = ['--n', '2', '--max-new-tokens', '24', '--output', answers];
    await mallows('generate', '--model', join(run, 'model'), '--prompts', held, ...sampled);
    await mallows('reward', 'score', ...reward, '--answers', answers, '--output', join(run, 'rewards.jsonl'));
  }
  const [a, b] = [runs[1]!, runs[0]!].map((run) => join(run, 'answers.jsonl')) as [string, string];
  await mallows(
    'judge',
    '--a',
    a,
    '--b',
    b,
    '--judge',
    reward[1]!,
    '--output',
    join(runs[1]!, 'judged.jsonl'),
  );
  await mallows('compare', ...runs, '--report', at('compare.html'), '--output', at('compare.json'));
  const report = JSON.parse(readFileSync(at('compare.json'), 'utf8')) as ComparisonReport;
  for (const { name } of METRICS) {
    const { interval } = report.methods[1]!.metrics[name]!;
    expect(interval![0], name).toBeLessThanOrEqual(interval![1]);
    const { pValue, adjustedPValue } = report.comparisons.find(({ metric }) => metric === name)!;
    expect(adjustedPValue, name).toBeGreaterThanOrEqual(pValue);
  }
  return at('compare.html');
}

async function trainingPage(directory: string): Promise<string> {
  const pairs = 100;
  const { html } = await trainingReport({
    objective: { name: 'mallows-theta' },
    title: 'A model under mallows-theta',
    subtitle: 'β 0.1',
    finished: true,
    metrics: Array.from({ length: 21 }, (_, step) => ({
      step,
      loss: 0.7 - step / 200,
      'rewards/margins': step / 100,
      'rewards/accuracies': 0.5 + step / 100,
      ...(step % 5 === 0
        ? {
            eval_loss: Math.LN2 - step / 400,
            'eval_log_ratio/chosen': -step,
            'eval_log_ratio/rejected': -2 * step,
            'eval_kl/on_policy': step / 10,
          }
        : {}),
    })),
    heldOut: {
      prompts: Array.from({ length: pairs }, (_, i) => `prompt ${i % 40}`),
      lossesBefore: new Float64Array(pairs).fill(Math.LN2),
      lossesAfter: Float64Array.from({ length: pairs }, (_, i) => 0.6 + 0.1 * Math.sin(i)),
      marginsBefore: new Float64Array(pairs),
      marginsAfter: Float64Array.from({ length: pairs }, (_, i) => 0.1 + 0.1 * Math.sin(i)),
      correctBefore: new Float64Array(pairs).fill(0.5),
      correctAfter: Float64Array.from({ length: pairs }, (_, i) => (i % 4 === 0 ? 0 : 1)),
      chosenLogRatios: Float64Array.from({ length: pairs }, (_, i) => Math.sin(i) - 2),
    },
    kl: [5, 10, 15, 20].map((step) => ({
      step,
      prompts: ['a', 'b', 'c', 'd'],
      kls: Float64Array.from([0.5, 1, 1, 1.5], (share) => (share * step) / 10),
    })),
    dispersion: {
      phiStar: 0.3,
      source: 'entropy',
      shuffled: false,
      prompts: Array.from({ length: 50 }, (_, i) => ({
        id: String(i),
        prompt: i === 0 ? hostile : `A prompt of some length, number ${i}, ${'word '.repeat(i)}`,
        negLogDispersion: 0.8 + i / 100,
      })),
    },
    samples: [{ prompt: hostile, before: hostile, after: `${'a-very-long-word'.repeat(30)}\nnext line` }],
    recipe: `model: x\ndata: ${'long/'.repeat(60)}file.jsonl\n`,
    provenance: { model: 'f'.repeat(300), seed: 0 },
  });
  const file = join(directory, 'report.html');
  writeFileSync(file, html);
  return file;
}

describe.skipIf(executable === undefined).each([
  { page: 'training report', title: 'A model under mallows-theta', figures: 6, write: trainingPage },
  { page: 'comparison', title: 'dpo, mallows-theta', figures: 10, write: comparisonPage },
])('a $page in a browser', ({ title, figures: expected, write }) => {
  let directory: string;
  let browser: Browser;
  let url: string;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'report-'));
    url = pathToFileURL(await write(directory)).href;
    browser = await chromium.launch({ executablePath: executable!, args: ['--no-sandbox'] });
  }, 120_000);

  afterAll(async () => {
    await browser?.close();
    rmSync(directory, { recursive: true, force: true });
  });

  it.each([
    { name: 'phone', width: 360, height: 740 },
    { name: 'desktop', width: 1280, height: 900 },
  ])('fits a $name screen, asks the network for nothing and logs no error', async ({ width, height }) => {
    const page = await browser.newPage({ viewport: { width, height } });
    const problems: string[] = [];
    const requests: string[] = [];
    page.on('console', (message) => {
      if (message.type() !== 'info') problems.push(message.text());
    });
    page.on('pageerror', (error) => problems.push(String(error)));
    page.on('request', (request) => {
      if (request.url() !== url && !request.url().startsWith('data:')) requests.push(request.url());
    });
    await page.goto(url);
    expect(problems).toEqual([]);
    expect(requests).toEqual([]);
    expect(await page.title()).toBe(title);

    const figures = await page.locator('figure svg[role=img]').all();
    expect(figures).toHaveLength(expected);
    for (const figure of figures) {
      const box = await figure.boundingBox();
      expect(box!.width).toBeGreaterThan(280);
      expect(box!.height).toBeGreaterThan(80);
      expect(box!.x + box!.width).toBeLessThanOrEqual(width);
    }
    // Nothing but a table or a code block that scrolls on its own may be wider than the window.
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width);
    expect(await page.evaluate("document.fonts.check('16px Inter')")).toBe(true);
    const picture = await page.screenshot({ fullPage: true });
    expect(picture.length).toBeGreaterThan(20_000);
    await page.close();
  });

  it('has one level-one heading, named figures and readable contrast in both schemes', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      const page = await browser.newPage({ colorScheme });
      await page.goto(url);
      expect(await page.locator('h1').count()).toBe(1);
      const names = await page.locator('svg[role=img]').evaluateAll((all) =>
        all.map((svg) => {
          const [title, description] = (svg.getAttribute('aria-labelledby') ?? '').split(' ');
          const text = (id: string | undefined) => svg.querySelector(`#${id}`)?.textContent ?? '';
          return [text(title), text(description)];
        }),
      );
      for (const name of names) expect(name.every((part) => part.length > 3)).toBe(true);
      const colors = (await page.evaluate(
        `(() => { const style = getComputedStyle(document.body);
           const muted = getComputedStyle(document.querySelector('.subtitle'));
           return [style.color, muted.color, style.backgroundColor]; })()`,
      )) as [string, string, string];
      expect(contrast(colors[0], colors[2])).toBeGreaterThan(7);
      expect(contrast(colors[1], colors[2])).toBeGreaterThan(4.5);
      await page.close();
    }
  });
});

/** WCAG 2 contrast ratio of two `rgb(r, g, b)` colours. */
function contrast(a: string, b: string): number {
  const luminance = (color: string): number => {
    const [r, g, blue] = (color.match(/\d+/g) ?? []).map((value) => {
      const c = Number(value) / 255;
      return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * blue!;
  };
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (light! + 0.05) / (dark! + 0.05);
}
