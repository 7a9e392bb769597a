import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import fixtures from '../../tests/fixtures/optim/schedules.json' with { type: 'json' };
import { createSchedule, type ScheduleName } from './schedule.ts';

describe('schedules', () => {
  it('equal transformers value for value', () => {
    expect(fixtures.cases.length).toBeGreaterThan(5);
    for (const { name, peak, total, warmup, values } of fixtures.cases) {
      const schedule = createSchedule(peak, total, { name: name as ScheduleName, warmupSteps: warmup });
      for (const [step, value] of values.entries()) expect(schedule(step)).toBeCloseTo(value, 18);
    }
  });

  it('by hand: 2 of 6 steps warm-up, linear', () => {
    const schedule = createSchedule(1, 6, { warmupRatio: 0.3 });
    expect([0, 1, 2, 3, 4, 5, 6].map(schedule)).toEqual([0, 0.5, 1, 0.75, 0.5, 0.25, 0]);
  });

  it('stay between 0 and the peak', () => {
    const names = fc.constantFrom<ScheduleName>('linear', 'cosine', 'constant');
    fc.assert(
      fc.property(names, fc.nat(50), fc.nat(20), fc.nat(80), (name, total, warmupSteps, step) => {
        const value = createSchedule(3, total, { name, warmupSteps })(step);
        return value >= 0 && value <= 3;
      }),
    );
  });

  it('refuses two warm-ups', () => {
    expect(() => createSchedule(1, 10, { warmupSteps: 1, warmupRatio: 0.1 })).toThrowError(
      expect.objectContaining({ code: 'warmup-twice' }),
    );
  });
});
