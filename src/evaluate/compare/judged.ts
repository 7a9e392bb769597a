import type { TextOrChat } from '../../data/index.ts';
import type { NoVerdict } from '../judge/contract.ts';
import { type Winner, whyLeftOut } from '../judge/pairwise.ts';
import { promptText } from '../judge/template.ts';
import { type EvaluationRow, readEvaluationRows } from '../rows.ts';

/** What became of a judged pair: who won, or why nobody did. */
export type Judgement = { readonly winner: Winner } | { readonly reason: NoVerdict };

/** A judged pair as people read it. */
export type ReadablePair = Judgement & {
  readonly id: string;
  readonly prompt: string;
  readonly a: string;
  readonly b: string;
};

/** Judged pairs of a run, and those among them that have no verdict, by the reason. */
export interface JudgedPairs {
  readonly pairs: number;
  readonly withoutVerdict: Readonly<Record<NoVerdict, number>>;
}

/** What a row of `mallows judge` says became of its pair. */
export function judgementOf(row: EvaluationRow): Judgement {
  if (row.has('winner')) {
    const winner = row.text('winner');
    if (winner === 'a' || winner === 'b' || winner === 'tie') return { winner };
    return row.fail('winner', '"a", "b" or "tie"');
  }
  const verdicts: unknown = row.has('verdicts') ? row.raw('verdicts') : [];
  return { reason: whyLeftOut(Array.isArray(verdicts) ? verdicts : []) };
}

/** Reads what `mallows judge` wrote. */
export async function readJudgedPairs(path: string): Promise<ReadablePair[]> {
  const rows = await readEvaluationRows(path);
  return rows.map((row) => {
    const prompt: TextOrChat = row.prompt() ?? row.fail('prompt', 'text or chat messages');
    return {
      id: row.text('id'),
      prompt: promptText(prompt),
      a: row.text('a'),
      b: row.text('b'),
      ...judgementOf(row),
    };
  });
}

export function countJudged(judgements: readonly Judgement[]): JudgedPairs {
  const withoutVerdict = { refused: 0, 'cut-off': 0, unparsable: 0 };
  for (const each of judgements) if ('reason' in each) withoutVerdict[each.reason]++;
  return { pairs: judgements.length, withoutVerdict };
}

/** Why there is no verdict, as people say it. */
export const NO_VERDICT = {
  refused: 'refused',
  'cut-off': 'cut off',
  unparsable: 'unreadable',
} as const satisfies Record<NoVerdict, string>;

/** What must be said of a run's win rate where pairs have no verdict: they are seldom any pairs. */
export function notesOnJudged(
  runs: readonly { readonly path: string; readonly judged?: JudgedPairs }[],
): string[] {
  return runs.flatMap(({ path, judged }) => {
    if (judged === undefined) return [];
    const { pairs, withoutVerdict } = judged;
    const reasons = (Object.keys(NO_VERDICT) as NoVerdict[]).filter((reason) => withoutVerdict[reason] > 0);
    if (reasons.length === 0) return [];
    const missing = reasons.reduce((total, reason) => total + withoutVerdict[reason], 0);
    const words = reasons.map((reason) => `${withoutVerdict[reason]} ${NO_VERDICT[reason]}`).join(', ');
    const have = missing === 1 ? 'has' : 'have';
    return [
      `${missing} of ${pairs} judged pairs of ${path} ${have} no verdict (${words}): the win rate is of the others.`,
    ];
  });
}
