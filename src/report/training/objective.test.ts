import { describe, expect, it } from 'vitest';
import { describeObjective, objectiveNames } from '../../objectives/index.ts';
import { objectiveFacts } from './objective.ts';

describe('objectiveFacts', () => {
  it.each(objectiveNames)('%s: says of what its rewards are made', (name) => {
    const facts = objectiveFacts({ name })!;
    const { options } = describeObjective(name);
    // Only f-DPO's scores go by the name of a divergence.
    expect(facts.reward.includes('f′(π/π_ref)')).toBe(name === 'f-dpo');
    const free = ['simpo', 'mallows-simpo', 'cpo', 'orpo', 'alpha-dpo', 'simper'].includes(name);
    expect(facts.fromReference).toBe(!free);
    const factor = options.some((one) => one.name === 'beta') ? 'β = ' : name === 'orpo' ? 'λ = ' : '';
    expect(facts.reward.startsWith(factor)).toBe(true);
    expect(facts.marginFromLogRatios).toMatch(
      free ? /do without a reference/ : /^The margin is β = [\d.]+ times/,
    );
    // What is advised exists.
    const levers = [...facts.fallingChosen.matchAll(/(?:raise|lower) (\p{L})/gu)].map(([, symbol]) => symbol);
    const names = { β: 'beta', α: 'alpha', λ: 'lambda' } as Readonly<Record<string, string>>;
    for (const symbol of levers) expect(options.map((one) => one.name)).toContain(names[symbol!]);
  });

  it('follows the options of a run', () => {
    expect(objectiveFacts({ name: 'dpo', beta: 0.5, normalize: 'length', dispersion: true })).toMatchObject({
      reward: 'β = 0.5 times (log π − log π_ref) per token',
      marginFromLogRatios: 'The margin is β = 0.5 times the difference of the log-ratios per token.',
      dispersionEnters: 'scale',
    });
    expect(objectiveFacts({ name: 'f-dpo', divergence: 'reverse-kl' })?.reward).toBe(
      'β = 0.1 times log π − log π_ref',
    );
  });

  it.each(['rpo', 'cpo', 'dpop', 'orpo', 'cal-dpo', 'dpo-shift'] as const)(
    '%s: advises no likelihood term, for its loss holds the chosen answer itself',
    (name) => {
      const { fallingChosen } = objectiveFacts({ name })!;
      expect(fallingChosen).toContain(`The loss of ${name}`);
      expect(fallingChosen).not.toMatch(/objective rpo|cpo\)|only asks/);
    },
  );

  it.each([
    ['dpo', '(objective rpo)'],
    ['ipo', '(objective rpo)'],
    ['simpo', 'likelihood term (cpo)'],
    ['simper', 'likelihood term (cpo)'],
  ] as const)('%s: names an objective with a likelihood term', (name, words) => {
    expect(objectiveFacts({ name })!.fallingChosen).toContain(words);
  });

  it('knows nothing of an objective that a user defined', () => {
    expect(objectiveFacts({ name: 'mine' })).toBeUndefined();
    const custom = { name: 'dpo', custom: true };
    expect(objectiveFacts(custom)).toBeUndefined();
  });
});
