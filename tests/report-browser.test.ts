import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { main } from '../src/cli/main.ts';
import { trainingReport } from '../src/report/index.ts';

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

/** Two runs with held-out pairs, answers, rewards, verdicts and on-policy KL, as the commands write them. */
async function comparisonPage(directory: string): Promise<string> {
  const runs = ['dpo', 'mallows-theta'].map((name, which) => {
    const run = join(directory, name);
    mkdirSync(join(run, 'evaluations'), { recursive: true });
    const rows = (make: (i: number) => object) =>
      Array.from({ length: 60 }, (_, i) => `${JSON.stringify({ id: `${i}`, ...make(i) })}\n`).join('');
    const write = (file: string, text: string) => writeFileSync(join(run, file), text);
    const prompt = (i: number) => (i === 0 ? hostile : `Prompt ${i} ${'word '.repeat(i)}`);
    write('recipe.yaml', `objective: {name: ${name}}\nseed: 1\n`);
    write(
      'evaluations/step-5.jsonl',
      rows((i) => ({
        win: (i + which) % 3 === 0 ? 0 : 1,
        loss: 0.6,
        chosenReward: 0.1,
        rejectedReward: 0,
        chosenLogRatio: -1 + which,
        rejectedLogRatio: -2 - (i % 5),
      })),
    );
    write(
      'evaluations/step-5.kl.jsonl',
      rows((i) => ({ kl: 2 + which + (i % 7) / 5 })),
    );
    write(
      'answers.jsonl',
      rows((i) => ({
        prompt: prompt(i),
        completions: [{ text: i === 0 ? hostile : `An answer ${'longer '.repeat(which * (i % 9))}${i}` }],
      })),
    );
    write(
      'rewards.jsonl',
      rows((i) => ({ score: Math.sin(i) + which })),
    );
    if (which === 1) {
      const winner = (i: number) => ['a', 'b', 'tie', 'a'][i % 4];
      write(
        'judged.jsonl',
        rows((i) => ({ prompt: prompt(i), a: hostile, b: `Answer ${i}`, winner: winner(i) })),
      );
    }
    return run;
  });
  const file = join(directory, 'compare.html');
  const written = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  const code = await main(['compare', ...runs, '--report', file]);
  written.mockRestore();
  expect(code).toBe(0);
  return file;
}

async function trainingPage(directory: string): Promise<string> {
  const pairs = 100;
  const { html } = await trainingReport({
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
          }
        : {}),
    })),
    heldOut: {
      prompts: Array.from({ length: pairs }, (_, i) => `prompt ${i % 40}`),
      lossesBefore: new Float64Array(pairs).fill(Math.LN2),
      lossesAfter: Float64Array.from({ length: pairs }, (_, i) => 0.6 + 0.1 * Math.sin(i)),
      correctAfter: Float64Array.from({ length: pairs }, (_, i) => (i % 4 === 0 ? 0 : 1)),
    },
    dispersion: {
      phiStar: 0.3,
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
  { page: 'training report', title: 'A model under mallows-theta', figures: 5, write: trainingPage },
  { page: 'comparison', title: 'dpo, mallows-theta', figures: 9, write: comparisonPage },
])('a $page in a browser', ({ title, figures: expected, write }) => {
  let directory: string;
  let browser: Browser;
  let url: string;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'report-'));
    url = pathToFileURL(await write(directory)).href;
    browser = await chromium.launch({ executablePath: executable!, args: ['--no-sandbox'] });
  });

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
