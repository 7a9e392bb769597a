import { promptOverlap } from '../../evaluate/index.ts';
import { html } from '../html.ts';
import { dataTable, type ReportSection } from '../page.ts';
import type { DataNumbers } from './contract.ts';
import { capital } from './words.ts';

/** Undefined where the provenance says nothing of it, as that of runs on data without votes and held-out prompts. */
export function dataNumbers(provenance: Readonly<Record<string, unknown>>): DataNumbers | undefined {
  const data = Object(provenance.data) as Readonly<Record<'train' | 'eval', unknown>>;
  const contestedOf = (split: unknown) => (Object(split) as { readonly contested?: unknown }).contested;
  const [train, heldOut] = [contestedOf(data.train), contestedOf(data.eval)];
  const overlap = promptOverlap(provenance);
  const numbers = {
    ...(typeof train === 'number' && typeof heldOut === 'number' && { contested: { train, heldOut } }),
    ...(overlap && { promptOverlap: overlap }),
  };
  return Object.keys(numbers).length === 0 ? undefined : numbers;
}

/** @param what the rows are: `pairs`, `texts` */
export function dataSection({ contested, promptOverlap: overlap }: DataNumbers, what: string): ReportSection {
  const rows = [
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
