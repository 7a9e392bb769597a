import { describe, expect, it } from 'vitest';
import { figuresOf, type Round } from '../bench/figures.ts';
import { type Measurement, SCENARIOS, TARGETS } from '../bench/scenarios.ts';
import { markdownTable, targetText } from '../bench/table.ts';

const measured = (seconds: number, more: Partial<Measurement> = {}): Measurement => ({
  seconds,
  units: 10,
  peakBytes: 2 ** 30,
  ...more,
});

describe('the benchmark’s figures', () => {
  const scenario = SCENARIOS['train-bf16']!;
  const rounds: Round[] = [
    {
      ours: measured(2, { referenceSeconds: 1, referencePairs: 10 }),
      precomputed: measured(10, { referenceSeconds: 10, referencePairs: 10, peakBytes: 4 * 2 ** 30 }),
      'in-loop': measured(18, { peakBytes: 8 * 2 ** 30 }),
    },
    {
      ours: measured(4, { referenceSeconds: 2, referencePairs: 10 }),
      precomputed: measured(16, { referenceSeconds: 10, referencePairs: 10, peakBytes: 4 * 2 ** 30 }),
      'in-loop': measured(30, { peakBytes: 8 * 2 ** 30 }),
    },
  ];
  const figures = figuresOf('train-bf16', scenario, rounds);
  const figure = (measure: string) => figures.find((each) => each.measure === measure);

  it('takes ratios round by round, and an epoch and memory against the better of TRL’s modes', () => {
    expect(figure('step/precomputed')!.value).toEqual({ min: 4, median: 4.5, max: 5 });
    // Round 1: 3 s of ours, 18 s in the loop and 20 s with a pass of its own; round 2: 6, 30 and 26 s.
    expect(figure('epoch/best')!.value.max).toBeCloseTo(6, 12);
    expect(figure('epoch/best')!.value.min).toBeCloseTo(26 / 6, 12);
    expect(figure('memory/tuned')!.value.median).toBe(1 / 4);
  });

  it('leaves out what a peer that failed would have told', () => {
    expect(figure('step/default')).toBeUndefined();
    const [first, second] = rounds;
    const once = figuresOf('train-bf16', scenario, [{ ours: first!.ours }, second!]);
    expect(once.find((each) => each.measure === 'step/precomputed')!.value).toEqual({
      min: 4,
      median: 4,
      max: 4,
    });
  });

  it('says of every target whether it is reached, and names scenarios that there are', () => {
    expect(targetText(figure('step/precomputed')!)).toBe(
      '≥ 4.6 ×: **not reached**, above the floor of 3.5 ×',
    );
    expect(targetText(figure('epoch/best')!)).toBe('≥ 4.5 ×: reached');
    expect(targetText(figure('memory/tuned')!)).toBe('≤ 0.35 ×: reached');
    expect(markdownTable([{ scenario: 'train-bf16', kind: 'train', figures }])).toContain(
      '| train-bf16 | ours | 3.75 (2.50–5.00) pairs/s |  |',
    );
    expect(Object.keys(TARGETS).filter((name) => SCENARIOS[name] === undefined)).toEqual([]);
  });
});
