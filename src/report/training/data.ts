import { promptOverlap } from '../../evaluate/index.ts';
import { html } from '../html.ts';
import { dataTable, type ReportSection } from '../page.ts';
import type { DataNumbers, RowCounts } from './contract.ts';
import { capital } from './words.ts';

/** Undefined where the provenance says nothing of it. */
export function dataNumbers(provenance: Readonly<Record<string, unknown>>): DataNumbers | undefined {
  const data = Object(provenance.data) as Readonly<Record<'train' | 'eval', unknown>>;
  const contestedOf = (split: unknown) => (Object(split) as { readonly contested?: unknown }).contested;
  const [train, heldOut] = [contestedOf(data.train), contestedOf(data.eval)];
  const overlap = promptOverlap(provenance);
  const [trainRows, heldOutRows] = [rowCounts(data.train), rowCounts(data.eval)];
  const numbers = {
    ...(trainRows && heldOutRows && { rows: { train: trainRows, heldOut: heldOutRows } }),
    ...(typeof train === 'number' && typeof heldOut === 'number' && { contested: { train, heldOut } }),
    ...(overlap && { promptOverlap: overlap }),
  };
  return Object.keys(numbers).length === 0 ? undefined : numbers;
}

function rowCounts(split: unknown): RowCounts | undefined {
  const { rows: usable, badRows: bad } = Object(split) as {
    readonly rows?: unknown;
    readonly badRows?: unknown;
  };
  if (typeof usable !== 'number') return undefined;
  return { usable, ...(typeof bad === 'number' && { bad }) };
}

/** @param what the rows are: `pairs`, `texts` */
export function dataSection(numbers: DataNumbers, what: string): ReportSection {
  const { rows: counts, contested, promptOverlap: overlap } = numbers;
  const count = (value: number | undefined) => (value === undefined ? '–' : `${value}`);
  const rows = [
    ...(counts === undefined
      ? []
      : [
          ['Usable', count(counts.train.usable), count(counts.heldOut.usable)],
          ['Left out as unusable', count(counts.train.bad), count(counts.heldOut.bad)],
        ]),
    ...(contested === undefined
      ? []
      : [['Contested', `${contested.train}, left out`, `${contested.heldOut}, evaluated`]]),
    ...(overlap === undefined
      ? []
      : [['Prompt is trained on', '–', `${overlap.trainedOn} of ${overlap.rows}`]]),
  ];
  const words =
    contested &&
    html`<p>Contested pairs are those whose votes do not favour the chosen side. Held-out ones have next to no weight in the loss of an objective that weighs pairs; accuracies and log-ratios need none.</p>`;
  const columns = [{ heading: capital(what) }, { heading: 'Training' }, { heading: 'Held out' }];
  return { heading: 'Data', body: html`${words}${dataTable(columns, rows)}` };
}
