import { promptText } from '../judge/template.ts';
import { readEvaluationRows } from '../rows.ts';

/** A judged pair as people read it. */
export interface ReadablePair {
  readonly id: string;
  readonly prompt: string;
  readonly a: string;
  readonly b: string;
  readonly winner: 'a' | 'b' | 'tie' | undefined;
}

/** Reads what `mallows judge` wrote. */
export async function readJudgedPairs(path: string): Promise<ReadablePair[]> {
  const rows = await readEvaluationRows(path);
  return rows.map((row) => {
    const winner = row.has('winner') ? row.text('winner') : undefined;
    if (winner !== undefined && winner !== 'a' && winner !== 'b' && winner !== 'tie') {
      return row.fail('winner', '"a", "b" or "tie"');
    }
    const prompt = row.prompt() ?? row.fail('prompt', 'text or chat messages');
    return {
      id: row.text('id'),
      prompt: promptText(prompt),
      a: row.text('a'),
      b: row.text('b'),
      winner,
    };
  });
}
