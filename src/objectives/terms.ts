import type { ObjectiveResult, PairBatch } from './contract.ts';

/** Something added to each pair's loss besides the link. */
export interface Term {
  readonly name: string;
  readonly needsReference: boolean;
  /** Adds its losses and slopes to `result`. */
  addTo(result: ObjectiveResult, batch: PairBatch): void;
}

function increase(array: Float64Array, index: number, amount: number): void {
  array[index] = array[index]! + amount;
}

/** α · −log π(y_w|x)/|y_w|: keep the chosen completion likely (RPO, CPO, ORPO). */
export function chosenNll(alpha: number): Term {
  return {
    name: 'chosen-nll',
    needsReference: false,
    addTo: (result, { chosen }) => {
      for (let i = 0; i < chosen.logps.length; i++) {
        increase(result.losses, i, (-alpha * chosen.logps[i]!) / chosen.tokens[i]!);
        increase(result.chosenSlopes, i, -alpha / chosen.tokens[i]!);
      }
    },
  };
}

/** Cal-DPO (Xiao et al. 2024): α/2·[(a_w − 1/2β)² + (a_l + 1/2β)²] holds the implicit rewards at ±½. */
export function calibration(alpha: number, beta: number): Term {
  const target = 1 / (2 * beta);
  return {
    name: 'calibration',
    needsReference: true,
    addTo: (result, { chosen, rejected }) => {
      for (let i = 0; i < chosen.logps.length; i++) {
        const chosenError = chosen.logps[i]! - chosen.referenceLogps![i]! - target;
        const rejectedError = rejected.logps[i]! - rejected.referenceLogps![i]! + target;
        increase(result.losses, i, (alpha / 2) * (chosenError ** 2 + rejectedError ** 2));
        increase(result.chosenSlopes, i, alpha * chosenError);
        increase(result.rejectedSlopes, i, alpha * rejectedError);
      }
    },
  };
}
