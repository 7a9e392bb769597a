import { promptKey, type TextOrChat } from '../../data/index.ts';
import { DataError } from '../../errors.ts';
import { clusterBootstrap, type Interval, signTest, sumClusters } from '../../stats/index.ts';
import { settleAll } from '../settle-all.ts';
import type { Judge, NoVerdict, Outcome, Verdict } from './contract.ts';

/** Two models' answers to one prompt. */
export interface AnswerPair {
  readonly id: string;
  readonly prompt: TextOrChat;
  readonly a: string;
  readonly b: string;
}

export type Winner = 'a' | 'b' | 'tie';

export interface JudgedPair extends AnswerPair {
  /** Absent when a verdict is missing. */
  readonly winner?: Winner;
  /** Probability that A is better, averaged over the orders, from judges that give one. */
  readonly preference?: number;
  /** What the judge said with A shown first and with B shown first; one for judges to whom order is nothing. */
  readonly verdicts: readonly {
    readonly shownFirst: 'a' | 'b';
    readonly winner?: Winner;
    /** Why there is no winner. */
    readonly reason?: NoVerdict;
    readonly text: string;
  }[];
}

/**
 * Pairs left out, each counted once, by the first of these that is true of a verdict on it: the judge refused it, it was cut
 * off at its length limit, or it could not be read. Those are seldom any pairs (they are the long ones, say), so that the
 * rates speak of the others alone.
 */
export interface LeftOutPairs {
  readonly refused: number;
  readonly cutOff: number;
  readonly unparsable: number;
}

export interface JudgeSummary extends LeftOutPairs {
  readonly judge: string;
  /** Pairs with a winner or a tie: the win rate's denominator. */
  readonly n: number;
  readonly wins: number;
  readonly losses: number;
  readonly ties: number;
  /** The judge's words where it first refused; null where it refused nothing. */
  readonly firstRefusal: string | null;
  /** (wins + ½ ties)/n of A, in points; null when no pair could be judged. */
  readonly winRate: number | null;
  /** 95 % bootstrap interval over prompts, in points; null for a single prompt. */
  readonly interval: readonly [number, number] | null;
  /** Exact sign test over prompts: those that A won more often than it lost against the others. */
  readonly pValue: number | null;
  /** Mean probability that A is better, in points: AlpacaEval's weighted win rate. Null without such a judge. */
  readonly weightedWinRate: number | null;
  /** Among pairs judged in both orders: share with one verdict in both, and share of verdicts for what came first. */
  readonly consistency: number | null;
  readonly firstPreferred: number | null;
}

export interface JudgeRunOptions {
  /** Goes on to the judge, which begins no comparison once it fires. */
  readonly signal?: AbortSignal | undefined;
  /** Told after each pair. */
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Judges every pair in both orders. A wins a pair if it wins both, or wins one and ties the other (MallowsPO, appendix
 * C.3.1); one each is a tie. Results come in the order of `pairs`, whatever the order of the answers. The judge bounds
 * its own concurrency. Whatever is thrown, nothing is under way any more.
 */
export async function judgePairs(
  pairs: readonly AnswerPair[],
  judge: Judge,
  { signal, onProgress }: JudgeRunOptions = {},
): Promise<JudgedPair[]> {
  let done = 0;
  return settleAll(
    pairs.map(async (pair) => {
      const orders = judge.orderFree ? (['a'] as const) : (['a', 'b'] as const);
      const verdicts = await settleAll(
        orders.map(async (shownFirst) => {
          const [first, second] = shownFirst === 'a' ? [pair.a, pair.b] : [pair.b, pair.a];
          const shown = { id: `${pair.id}:${shownFirst}`, prompt: pair.prompt, first, second };
          return { shownFirst, verdict: await judge.compare(shown, signal) };
        }),
      );
      onProgress?.(++done, pairs.length);
      return combine(pair, verdicts);
    }),
  );
}

function combine(
  pair: AnswerPair,
  shown: readonly { shownFirst: 'a' | 'b'; verdict: Verdict }[],
): JudgedPair {
  const verdicts = shown.map(({ shownFirst, verdict }) => {
    const winner = winnerOf(shownFirst, verdict.outcome);
    const outcome = winner ? { winner } : { reason: verdict.reason ?? ('unparsable' as const) };
    return { shownFirst, ...outcome, text: verdict.text };
  });
  const preferences = shown.flatMap(({ shownFirst, verdict: { preference } }) =>
    preference === undefined ? [] : [shownFirst === 'a' ? preference : 1 - preference],
  );
  const winner = combinedWinner(verdicts.map((verdict) => verdict.winner));
  return {
    ...pair,
    ...(winner && { winner }),
    ...(preferences.length === shown.length && {
      preference: preferences.reduce((sum, p) => sum + p, 0) / preferences.length,
    }),
    verdicts,
  };
}

/** The paper's rule over one or two verdicts; undefined as soon as one is missing. */
export function combinedWinner(winners: readonly (Winner | undefined)[]): Winner | undefined {
  if (winners.includes(undefined)) return undefined;
  const balance = winners.reduce((sum, w) => sum + (w === 'a' ? 1 : w === 'b' ? -1 : 0), 0);
  return balance > 0 ? 'a' : balance < 0 ? 'b' : 'tie';
}

function winnerOf(shownFirst: 'a' | 'b', outcome: Outcome | undefined): Winner | undefined {
  if (outcome === undefined || outcome === 'tie') return outcome;
  return (outcome === 'first') === (shownFirst === 'a') ? 'a' : 'b';
}

const HINTS: Readonly<Record<NoVerdict, (words: string) => string>> = {
  refused: (words) => `The judge refuses to answer: ${words}.`,
  'cut-off': (words) =>
    `Allow the judge longer answers (max_tokens of its template). Its first was: ${words}.`,
  unparsable: (words) => `The judge's first answer was: ${words}.`,
};

/** Throws `DataError` when no pair at all has a winner or is a tie. */
export function requireVerdicts(judged: readonly JudgedPair[]): void {
  if (judged.some(({ winner }) => winner !== undefined)) return;
  const first = judged[0]?.verdicts.find(({ winner }) => winner === undefined);
  const words = JSON.stringify((first?.text ?? '').slice(0, 200));
  throw new DataError('nothing-judged', `None of the ${judged.length} pairs has a verdict.`, {
    hint: HINTS[first?.reason ?? 'unparsable'](words),
  });
}

/** Win rate of A over the pairs that could be judged, and how far the judge depends on the order shown. */
export function summarizeVerdicts(judged: readonly JudgedPair[], judge: string): JudgeSummary {
  const decided = judged.filter(({ winner }) => winner !== undefined);
  const scores = decided.map(({ winner }) => (winner === 'a' ? 1 : winner === 'tie' ? 0.5 : 0));
  const prompts = decided.map(({ prompt }) => promptKey(prompt));
  const n = scores.length;
  const wins = scores.filter((score) => score === 1).length;
  const ties = scores.filter((score) => score === 0.5).length;
  const { sums, sizes } = sumClusters(scores, prompts);
  const preferences = judged.flatMap(({ preference }) => (preference === undefined ? [] : [preference]));
  return {
    judge,
    n,
    wins,
    losses: n - wins - ties,
    ties,
    ...countLeftOut(judged),
    firstRefusal: firstRefusal(judged),
    winRate: n === 0 ? null : (100 * (wins + ties / 2)) / n,
    interval: sums.length < 2 ? null : points(clusterBootstrap(scores, prompts)),
    pValue:
      n === 0
        ? null
        : signTest(
            sums,
            sizes.map((pairs) => pairs / 2),
          ).pValue,
    weightedWinRate: meanOrNull(preferences, 100),
    ...orderEffects(judged),
  };
}

/** The reason that a pair without a winner is counted under. */
export function whyLeftOut(verdicts: readonly Pick<Verdict, 'reason'>[]): NoVerdict {
  const reasons = verdicts.map(({ reason }) => reason);
  return (['refused', 'cut-off'] as const).find((reason) => reasons.includes(reason)) ?? 'unparsable';
}

/** Pairs without a verdict, by the reason. */
export function countLeftOut(judged: readonly JudgedPair[]): LeftOutPairs {
  const counts = { refused: 0, 'cut-off': 0, unparsable: 0 };
  for (const { winner, verdicts } of judged) {
    if (winner !== undefined) continue;
    counts[whyLeftOut(verdicts)]++;
  }
  const { refused, 'cut-off': cutOff, unparsable } = counts;
  return { refused, cutOff, unparsable };
}

function firstRefusal(judged: readonly JudgedPair[]): string | null {
  const refusal = judged.flatMap(({ verdicts }) => verdicts).find(({ reason }) => reason === 'refused');
  return refusal?.text ?? null;
}

function points({ low, high }: Interval): [number, number] {
  return [100 * low, 100 * high];
}

function orderEffects(judged: readonly JudgedPair[]) {
  const both = judged.filter(({ verdicts, winner }) => verdicts.length === 2 && winner !== undefined);
  const decided = both.flatMap(({ verdicts }) => verdicts.filter(({ winner }) => winner !== 'tie'));
  return {
    consistency: meanOrNull(both.map(({ verdicts: [x, y] }) => (x!.winner === y!.winner ? 1 : 0))),
    firstPreferred: meanOrNull(decided.map(({ shownFirst, winner }) => (winner === shownFirst ? 1 : 0))),
  };
}

function meanOrNull(values: readonly number[], scale = 1): number | null {
  return values.length === 0 ? null : (scale * values.reduce((sum, value) => sum + value, 0)) / values.length;
}
