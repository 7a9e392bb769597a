import { describe, expect, it } from 'vitest';
import { Timetable } from './experiment-run.ts';

const stages = [
  { name: 'sft', work: '256 reviews', seconds: 60 },
  { name: 'pairs', work: '256 openings', seconds: 120 },
  { name: 'dpo', work: '29 updates', seconds: 120 },
];

describe('Timetable', () => {
  it('lists what is to be done', () => {
    expect(new Timetable(stages).lines()).toEqual([
      '3 stages, about 5 min 00 s on this machine if nothing else runs:',
      '  sft    256 reviews, about 1 min 00 s',
      '  pairs  256 openings, about 2 min 00 s',
      '  dpo    29 updates, about 2 min 00 s',
    ]);
  });
  it('goes by the pace so far, to which kept stages say nothing', () => {
    let now = 0;
    const timetable = new Timetable(stages, () => now);
    expect(timetable.begin('sft', true)).toBe('1 of 3, kept');
    now += 5_000;
    expect(timetable.begin('pairs', false)).toBe('2 of 3, about 2 min 00 s; 4 min 00 s to go');
    now += 240_000;
    expect(timetable.begin('dpo', false)).toBe('3 of 3, about 4 min 00 s; 4 min 00 s to go');
  });
  it('is silent where nothing was estimated', () => {
    const timetable = new Timetable(stages.map(({ name, work }) => ({ name, work })));
    expect(timetable.lines()[0]).toBe('3 stages:');
    expect(timetable.begin('sft', false)).toBe('1 of 3');
    expect(timetable.begin('other', false)).toBe('');
  });
});
