import { dataTable, type Html, html } from '../../report/index.ts';
import type { Claim } from './claims.ts';

/** The paper's statements beside ours, as a table. */
export function claimTable(claims: readonly Claim[]): Html {
  return dataTable(
    [{ heading: 'Statement' }, { heading: 'Paper' }, { heading: 'Here' }, { heading: 'Verdict' }],
    claims.map(({ claim, paper, ours, verdict, note }) => [
      html`${claim}${note !== undefined && html` <small>${note}</small>`}`,
      paper,
      ours,
      verdict,
    ]),
  );
}
