import type { Figure } from './figures.ts';
import type { Machine } from './machine.ts';
import { MEASURES, type Scenario, type Target } from './scenarios.ts';
import { format, type Spread } from './statistics.ts';

const RATES: Readonly<Record<Scenario['kind'], string>> = {
  train: 'pairs/s',
  grouped: 'pairs/s',
  score: 'pairs/s',
  generate: 'tokens/s',
  tokenize: 'pairs/s',
  load: 'GB/s',
  overhead: 'pairs/s',
};

export interface Row {
  readonly scenario: string;
  readonly kind: Scenario['kind'];
  readonly figures: readonly Figure[];
}

/** All figures with their targets, as Markdown. */
export function markdownTable(rows: readonly Row[]): string {
  const lines = rows.flatMap(({ scenario, kind, figures }) =>
    figures.map((figure, index) => {
      const name = index === 0 ? scenario : '';
      return `| ${[name, MEASURES[figure.measure].label, valueText(figure, kind), targetText(figure)].join(' | ')} |`;
    }),
  );
  const head = ['| scenario | | median (min–max) | target |', '|---|---|---|---|'];
  return [...head, ...lines, ''].join('\n');
}

/** One line of what the figures have to be read with. */
export function machineText({
  cpu,
  cores,
  memoryBytes,
  torch,
  threads,
  vectors,
  bf16Kernels,
  device,
  date,
  load,
}: Machine): string {
  return [
    `${cpu}, ${cores} cores, ${(memoryBytes / 2 ** 30).toFixed(0)} GiB`,
    `device ${device}, libtorch ${torch}, ${threads} threads, ${vectors}, bf16 kernels: ${bf16Kernels ? 'yes' : 'no'}`,
    `${date.slice(0, 10)}, load of others ${load.toFixed(1)}`,
  ].join('; ');
}

/** `4.71 (4.60–4.80) ×` */
export function valueText({ measure, value }: Figure, kind: Scenario['kind']): string {
  const { unit } = MEASURES[measure];
  const scale =
    measure === 'memory' ? 2 ** -30 : unit === '%' ? 100 : kind === 'load' && measure === 'rate' ? 1e-9 : 1;
  const scaled: Spread = { min: value.min * scale, median: value.median * scale, max: value.max * scale };
  const digits = scaled.median >= 1000 ? 0 : scaled.median >= 100 ? 1 : scaled.median >= 0.1 ? 2 : 3;
  return `${format(scaled, digits)} ${measure === 'rate' ? RATES[kind] : unit}`.trimEnd();
}

/** `≥ 4.6 ×: not reached, above the floor of 3.5 ×`; a target is reached by the median. */
export function targetText({ measure, value, target }: Figure): string {
  if (target === undefined) return '';
  const { unit } = MEASURES[measure];
  const number = (limit: number) => `${unit === '%' ? 100 * limit : limit} ${unit}`.trimEnd();
  return `${limitText(target, number)}: ${verdict(target, value.median, number)}`;
}

export function limitText({ atLeast, atMost }: Target, number: (limit: number) => string): string {
  return atLeast === undefined ? `≤ ${number(atMost!)}` : `≥ ${number(atLeast)}`;
}

function verdict(
  { atLeast, atMost, floor }: Target,
  value: number,
  number: (limit: number) => string,
): string {
  if (atLeast === undefined) return value <= atMost! ? 'reached' : '**not reached**';
  if (value >= atLeast) return 'reached';
  if (floor !== undefined && value >= floor) return `**not reached**, above the floor of ${number(floor)}`;
  return '**not reached**';
}
