/**
 * AlpacaEval 2's published figures, recomputed. Its files are CC BY-NC and not part of the project: set
 * MALLOWS_ALPACA_EVAL to a folder with annotations_*.csv.gz, items.csv.gz, gamed_reconstructed.csv.gz, expected.json.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readAnnotations, readGamed, readItems } from '../src/evaluate/winrate/annotations.ts';
import { winRate } from '../src/evaluate/winrate/win-rate.ts';

interface Published {
  win_rate: number;
  standard_error: number;
  length_controlled_winrate: number;
  lc_standard_error: number | null;
}

const folder = process.env.MALLOWS_ALPACA_EVAL;
if (folder === undefined) console.log('AlpacaEval check skipped: MALLOWS_ALPACA_EVAL is not set.');

it.skipIf(folder === undefined)('agrees with the published win rates to 0.1 points', async () => {
  const path = (name: string) => join(folder!, name);
  const expected = JSON.parse(readFileSync(path('expected.json'), 'utf8')) as Record<string, Published>;
  const context = {
    items: await readItems(path('items.csv.gz')),
    gamed: await readGamed(path('gamed_reconstructed.csv.gz')),
  };
  const checked: string[] = [];
  for (const name of readdirSync(folder!).filter((file) => file.startsWith('annotations'))) {
    for (const annotations of await readAnnotations(path(name))) {
      const published = expected[annotations.model]!;
      const result = winRate(annotations, context);
      expect(Math.abs(result.winRate - published.win_rate)).toBeLessThan(1e-6);
      expect(Math.abs(result.standardError! - published.standard_error)).toBeLessThan(1e-6);
      expect(Math.abs(result.lcWinRate! - published.length_controlled_winrate)).toBeLessThan(0.1);
      if (published.lc_standard_error !== null) {
        expect(Math.abs(result.lcStandardError! - published.lc_standard_error)).toBeLessThan(0.01);
      }
      checked.push(annotations.model);
    }
  }
  expect(checked.sort()).toEqual(Object.keys(expected).sort());
});
