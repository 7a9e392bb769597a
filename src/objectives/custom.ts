import { UsageError } from '../errors.ts';
import type { Objective } from './contract.ts';

/** One completion as a custom loss sees it. */
export interface CustomCompletion {
  /** Σ_t log π(y_t), nats. */
  readonly logp: number;
  /** The same under the reference; NaN when the objective does without one. */
  readonly referenceLogp: number;
  readonly tokens: number;
}

export interface CustomPair {
  readonly chosen: CustomCompletion;
  readonly rejected: CustomCompletion;
  /** Neg-log dispersion w(x), mean 1; 1 where the data has none. */
  readonly w: number;
  /** NaN where the data has none. */
  readonly scoreGap: number;
}

/** Loss of a pair with its slopes, when they are known in closed form. */
export interface CustomLoss {
  readonly loss: number;
  /** ∂loss/∂chosen.logp */
  readonly chosenSlope: number;
  /** ∂loss/∂rejected.logp */
  readonly rejectedSlope: number;
}

export interface CustomObjective {
  readonly name: string;
  /** Default true. */
  readonly needsReference?: boolean;
  /** Default true: w is computed and given. */
  readonly usesDispersion?: boolean;
  /** Factor of the implicit rewards in the metrics. Default 1. */
  readonly beta?: number;
  /**
   * The loss of one pair. Return a number, and slopes are central differences in fp64 (about ten correct digits, two
   * more calls a side); or return the slopes too.
   */
  loss(pair: CustomPair): number | CustomLoss;
}

/** Step of a central difference that balances truncation and rounding in fp64. */
function step(at: number): number {
  return Math.cbrt(Number.EPSILON) * Math.max(1, Math.abs(at));
}

function withLogp(completion: CustomCompletion, logp: number): CustomCompletion {
  return { ...completion, logp };
}

function evaluatePair(definition: CustomObjective, pair: CustomPair): CustomLoss {
  const result = definition.loss(pair);
  if (typeof result !== 'number') return result;
  const at = (chosen: number, rejected: number): number => {
    const moved = definition.loss({
      ...pair,
      chosen: withLogp(pair.chosen, chosen),
      rejected: withLogp(pair.rejected, rejected),
    });
    if (typeof moved === 'number') return moved;
    throw new UsageError(
      'custom-objective',
      `Custom objective '${definition.name}' returned slopes only sometimes.`,
      {
        hint: 'Return a number always, or loss and slopes always.',
      },
    );
  };
  const { logp: chosen } = pair.chosen;
  const { logp: rejected } = pair.rejected;
  const chosenStep = step(chosen);
  const rejectedStep = step(rejected);
  return {
    loss: result,
    chosenSlope: (at(chosen + chosenStep, rejected) - at(chosen - chosenStep, rejected)) / (2 * chosenStep),
    rejectedSlope:
      (at(chosen, rejected + rejectedStep) - at(chosen, rejected - rejectedStep)) / (2 * rejectedStep),
  };
}

/** An objective from a plain function of one pair. */
export function defineObjective(definition: CustomObjective): Objective {
  const { name, needsReference = true, usesDispersion = true, beta = 1 } = definition;
  return {
    name,
    needsReference,
    usesDispersion,
    extras: [],
    evaluate: ({ chosen, rejected, w, scoreGaps }) => {
      const count = chosen.logps.length;
      if (needsReference && !(chosen.referenceLogps && rejected.referenceLogps)) {
        throw new UsageError('missing-reference', `Objective '${name}' needs reference log-probabilities.`, {
          hint: 'Run the reference pass first, or define the objective with needsReference: false.',
        });
      }
      const result = {
        losses: new Float64Array(count),
        chosenSlopes: new Float64Array(count),
        rejectedSlopes: new Float64Array(count),
        chosenRewards: new Float64Array(count),
        rejectedRewards: new Float64Array(count),
      };
      for (let i = 0; i < count; i++) {
        const [chosenSide, rejectedSide] = [chosen, rejected].map((side) => ({
          logp: side.logps[i]!,
          referenceLogp: needsReference ? side.referenceLogps![i]! : Number.NaN,
          tokens: side.tokens[i]!,
        })) as [CustomCompletion, CustomCompletion];
        const { loss, chosenSlope, rejectedSlope } = evaluatePair(definition, {
          chosen: chosenSide,
          rejected: rejectedSide,
          w: w?.[i] ?? 1,
          scoreGap: scoreGaps?.[i] ?? Number.NaN,
        });
        result.losses[i] = loss;
        result.chosenSlopes[i] = chosenSlope;
        result.rejectedSlopes[i] = rejectedSlope;
        const reward = (side: CustomCompletion): number =>
          beta * (needsReference ? side.logp - side.referenceLogp : side.logp);
        result.chosenRewards[i] = reward(chosenSide);
        result.rejectedRewards[i] = reward(rejectedSide);
      }
      return result;
    },
  };
}
