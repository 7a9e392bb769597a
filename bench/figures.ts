import type { PeerName } from './peer.ts';
import {
  MEASURES,
  type Measure,
  type Measurement,
  type Scenario,
  TARGETS,
  type Target,
} from './scenarios.ts';
import { ratios, type Spread, spread } from './statistics.ts';

/** What each side measured in one round; a peer that failed is absent. */
export type Round = { readonly ours: Measurement } & { readonly [peer in PeerName]?: Measurement };

/** A line of the table. */
export interface Figure {
  readonly measure: Measure;
  readonly value: Spread;
  readonly target?: Target;
}

/** Every figure that a scenario's rounds give, in the order of `MEASURES`. Ratios are taken round by round. */
export function figuresOf(name: string, scenario: Scenario, rounds: readonly Round[]): Figure[] {
  const values: Partial<Record<Measure, Spread>> = {
    ...ownFigures(scenario, rounds),
    ...peerFigures(scenario, rounds),
  };
  return (Object.keys(MEASURES) as Measure[]).flatMap((measure) => {
    const value = values[measure];
    const target = TARGETS[name]?.[measure];
    return value === undefined ? [] : [{ measure, value, ...(target && { target }) }];
  });
}

function ownFigures(scenario: Scenario, rounds: readonly Round[]): Partial<Record<Measure, Spread>> {
  const ours = rounds.map((round) => round.ours);
  const figures: Partial<Record<Measure, Spread>> = {
    // Timing every call slows a step down: its pace is nobody's.
    ...(scenario.kind !== 'overhead' && { rate: spread(ours.map(rate)) }),
    memory: spread(ours.map((m) => m.peakBytes)),
  };
  if (ours.every((m) => m.tokens !== undefined)) {
    figures.tokens = spread(ours.map((m) => m.tokens! / m.seconds));
  }
  if (ours.every((m) => m.usefulFlops !== undefined)) {
    figures.utilisation = spread(ours.map((m) => m.usefulFlops! / m.seconds / m.peakFlops!));
    figures.ownUtilisation = spread(ours.map((m) => m.usefulFlops! / m.seconds / m.ownPeakFlops!));
  }
  for (const measure of Object.keys(ours[0]!.own ?? {}) as Measure[]) {
    figures[measure] = spread(ours.map((m) => m.own![measure]!));
  }
  return figures;
}

function peerFigures(scenario: Scenario, rounds: readonly Round[]): Partial<Record<Measure, Spread>> {
  /** A ratio of ours to what the named peers have of it, over the rounds in which all of them ran. */
  const against = (
    peers: readonly PeerName[],
    read: (measurement: Measurement) => number,
    hardest: (...values: number[]) => number,
  ): Spread | undefined => {
    const complete = rounds.filter((round) => peers.every((peer) => round[peer] !== undefined));
    if (complete.length === 0) return undefined;
    return ratios(
      complete.map(({ ours }) => read(ours)),
      complete.map((round) => hardest(...peers.map((peer) => read(round[peer]!)))),
    );
  };
  const figures: Partial<Record<Measure, Spread | undefined>> = {};
  if (scenario.kind === 'train') {
    const tuned = ['precomputed', 'in-loop'] as const;
    for (const peer of [...tuned, 'default'] as const)
      figures[`step/${peer}`] = against([peer], rate, Math.max);
    figures['epoch/best'] = against(tuned, epochRate, Math.max);
    figures['epoch/default'] = against(['default'], epochRate, Math.max);
    figures['memory/tuned'] = against(tuned, peakBytes, Math.min);
    figures['memory/default'] = against(['default'], peakBytes, Math.min);
  } else {
    figures['rate/transformers'] = against(['transformers'], rate, Math.max);
    figures['memory/transformers'] = against(['transformers'], peakBytes, Math.min);
    if (scenario.kind === 'generate') figures.equal = equalTokens(rounds);
  }
  return figures as Partial<Record<Measure, Spread>>;
}

/** Units a second, without the reference pass. */
export function rate({ units, seconds }: Measurement): number {
  return units / seconds;
}

/** Pairs a second of a whole epoch: the step, and the reference pass where it was a pass of its own. */
function epochRate({ units, seconds, referenceSeconds, referencePairs }: Measurement): number {
  const reference = referenceSeconds && referencePairs ? referenceSeconds / referencePairs : 0;
  return 1 / (seconds / units + reference);
}

function peakBytes(measurement: Measurement): number {
  return measurement.peakBytes;
}

function equalTokens(rounds: readonly Round[]): Spread | undefined {
  const shares = rounds.flatMap(({ ours, transformers }) => {
    if (transformers === undefined) return [];
    const [a, b] = [ours, transformers].map(({ check }) => (check as number[][]).flat());
    return [a!.filter((token, index) => token === b![index]).length / a!.length];
  });
  return shares.length === 0 ? undefined : spread(shares);
}
