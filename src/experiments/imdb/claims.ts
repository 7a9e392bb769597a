import { isControlOf, isDpoBeside } from '../shared/arms.ts';
import { valueAtKl } from '../shared/at-kl.ts';
import { type Claim, signed, verdictOn } from '../shared/claims.ts';
import type { ArmFrontier, FrontierMoment } from './contract.ts';

/** Where on the shorter of two frontiers they are compared. */
const PLACES = [0.25, 0.5, 0.75, 1];

function accuracyAt(moments: readonly FrontierMoment[], kl: number): number | undefined {
  return valueAtKl(
    moments.map((moment) => ({ kl: moment.kl, value: moment.accuracy })),
    kl,
  );
}

/** Mean difference in accuracy, first − second, at equal KL; undefined when the two share no KL above 0. */
export function differenceAtEqualKl(
  first: readonly FrontierMoment[],
  second: readonly FrontierMoment[],
): { readonly difference: number; readonly upTo: number } | undefined {
  const reach = (moments: readonly FrontierMoment[]) => Math.max(...moments.map(({ kl }) => kl));
  const upTo = Math.min(reach(first), reach(second));
  const differences = PLACES.flatMap((place) => {
    const [a, b] = [accuracyAt(first, place * upTo), accuracyAt(second, place * upTo)];
    return a === undefined || b === undefined ? [] : [a - b];
  });
  if (differences.length === 0 || !(upTo > 0)) return undefined;
  return { difference: differences.reduce((sum, value) => sum + value, 0) / differences.length, upTo };
}

/** Differences in accuracy below this are called equal. */
const EQUAL = 0.02;

/** The statements of Figure 8c beside this run's frontiers, averaged over β. */
export function imdbClaims(
  frontiers: readonly ArmFrontier[],
  testable: boolean,
  samples: number,
): { claims: Claim[]; findings: string[] } {
  const against = (objective: string, isCounterpart: typeof isDpoBeside, shuffle = false) => {
    const found = frontiers.flatMap(({ arm, moments }) => {
      if (arm.objective !== objective || arm.shuffle !== shuffle) return [];
      const other = frontiers.find((one) => one.arm.seed === arm.seed && isCounterpart(one.arm, arm));
      const difference = other && differenceAtEqualKl(moments, other.moments);
      return difference === undefined ? [] : [difference];
    });
    if (found.length === 0) return undefined;
    return {
      difference: found.reduce((sum, { difference }) => sum + difference, 0) / found.length,
      upTo: Math.min(...found.map(({ upTo }) => upTo)),
      runs: found.length,
    };
  };
  const noise = Math.sqrt(0.5 / samples);
  const note = `A share of ${samples} samples has a standard error of up to ${Math.sqrt(0.25 / samples).toFixed(3)}, a difference of two up to ${noise.toFixed(3)}.`;
  const show = (found: ReturnType<typeof against>) =>
    found === undefined
      ? 'no KL in common'
      : `${signed(found.difference)} in accuracy at equal KL, mean over KL up to ${found.upTo.toPrecision(2)} and ${found.runs} ${found.runs === 1 ? 'run' : 'runs'}`;
  const [theta, phi] = [against('mallows-theta', isDpoBeside), against('mallows-phi', isDpoBeside)];
  const [shuffled, overShuffled] = [
    against('mallows-theta', isDpoBeside, true),
    against('mallows-theta', isControlOf),
  ];
  const claims: Claim[] = [
    {
      claim: 'MallowsPO-θ keeps to DPO’s frontier (Figure 8c)',
      paper: 'about equal',
      ours: show(theta),
      verdict: verdictOn(testable && theta !== undefined, Math.abs(theta?.difference ?? 1) <= EQUAL),
      note: `The shuffled control against DPO: ${show(shuffled)}; θ against its control: ${show(overShuffled)}. ${note}`,
    },
    {
      claim: 'MallowsPO-φ reaches the same accuracy at a smaller KL (Figure 8c)',
      paper: 'accuracy ≈ .967 against .954 at KL ≈ 31; both near .99 at KL 55 to 64',
      ours: show(phi),
      verdict: verdictOn(testable && phi !== undefined, (phi?.difference ?? 0) > noise),
      note,
    },
  ];
  if (overShuffled === undefined) return { claims, findings: [] };
  const apart = Math.abs(overShuffled.difference) > noise;
  const finding = `θ against its shuffled control, which has the same weights on the wrong prompts: ${show(overShuffled)}. ${
    apart
      ? `The weights’ own prompts ${overShuffled.difference > 0 ? 'help' : 'hurt'}.`
      : 'They are not told apart: nothing here shows that it matters which prompt has which weight.'
  }`;
  return { claims, findings: [finding] };
}
