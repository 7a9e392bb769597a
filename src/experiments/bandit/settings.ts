import type { BanditObjective, FreshOptions } from './contract.ts';

export const BANDIT_OBJECTIVES: readonly BanditObjective[] = [
  { objective: 'dpo', smoothing: null },
  { objective: 'mallows-phi', smoothing: 'raw' },
  { objective: 'mallows-phi', smoothing: 'cubic' },
  { objective: 'mallows-theta', smoothing: null },
];

/** 21 log-spaced values over [.005, 2]. */
export const BANDIT_BETAS: readonly number[] = Array.from({ length: 21 }, (_, i) =>
  Number((0.005 * 400 ** (i / 20)).toPrecision(12)),
);

/** What the paper trains with. */
export const PAPER = { epochs: 500_000, learningRate: 5e-3, phi: 0.05 } as const;

/** What fresh samples compare: θ at φ = .05 is DPO at another β, and tells nothing of its own. */
export const FRESH_OBJECTIVES: readonly BanditObjective[] = BANDIT_OBJECTIVES.filter(
  ({ objective }) => objective !== 'mallows-theta',
);

export const FRESH_DEFAULTS: FreshOptions = {
  samples: 200,
  epochs: 25_000,
  learningRate: 0.1,
  betas: [0.01, 0.02, 0.05, 0.1, 0.3, 1],
  beta: 0.05,
  klLevels: [0.2, 0.3, 0.4],
  seed: 0,
};

/** `mallows-phi (raw)`. */
export function objectiveLabel({ objective, smoothing }: BanditObjective): string {
  return smoothing === null ? objective : `${objective} (${smoothing})`;
}
