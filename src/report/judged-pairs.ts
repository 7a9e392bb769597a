import { THIRDS, type Third, thirdsOf } from '../evaluate/compare/thirds.ts';
import { type Html, html, trusted } from './html.ts';

/** Two answers to one prompt, with what is known of them. */
export interface JudgedSample {
  readonly prompt: string;
  readonly answers: readonly [string, string];
  readonly winner: 'first' | 'second' | 'tie' | 'none';
  /** Why there is no winner, in words. Default: it is not said. */
  readonly reason?: string;
  /** w(x), high where the source of dispersion finds one answer settled. */
  readonly negLogDispersion?: number;
}

interface Filter {
  readonly name: string;
  readonly legend: string;
  readonly choices: readonly { readonly value: string; readonly label: string; readonly count: number }[];
}

/**
 * The first `most` pairs side by side, with filters by who won and, where w(x) is known, by the third of all pairs that it
 * puts them in. The filters are radio buttons and style rules: the page needs no script.
 */
export function judgedPairs(
  all: readonly JudgedSample[],
  names: readonly [string, string],
  most: number,
): Html {
  const samples = all.slice(0, most);
  const thirds = thirdsOf(all.map(({ negLogDispersion }) => negLogDispersion))
    .slice(0, most)
    .map((third): Third | 'unknown' => third ?? 'unknown');
  const count = (attribute: readonly string[], value: string) =>
    attribute.filter((each) => each === value).length;
  const winners = samples.map(({ winner }) => winner);
  const filters: Filter[] = [
    {
      name: 'won',
      legend: 'Who won',
      choices: [
        { value: 'first', label: names[0], count: count(winners, 'first') },
        { value: 'second', label: names[1], count: count(winners, 'second') },
        { value: 'tie', label: 'tie', count: count(winners, 'tie') },
        { value: 'none', label: 'no verdict', count: count(winners, 'none') },
      ],
    },
    {
      name: 'dispersion',
      legend: 'w(x)',
      choices: THIRDS.map((third) => ({
        value: third,
        label: `${third} third`,
        count: count(thirds, third),
      })),
    },
  ].map((filter) => ({ ...filter, choices: filter.choices.filter((choice) => choice.count > 0) }));
  return html`<div class="filtered">
${trusted(`<style>${filters.map(hidingRules).join('')}</style>`)}
<form class="filters" aria-label="Filter the pairs">${filters
    .filter(({ choices }) => choices.length > 1)
    .map((filter) => filterField(filter, samples.length))}</form>
${samples.map((sample, i) => article(sample, thirds[i]!, names))}
</div>`;
}

function filterField({ name, legend, choices }: Filter, total: number): Html {
  const choice = (value: string, label: string, count: number, checked: boolean) =>
    html`<label><input type="radio" name="${name}" value="${name}-${value}"${checked && html` checked`}> ${label} <small>${count}</small></label>`;
  return html`<fieldset><legend>${legend}</legend>${choice('all', 'all', total, true)}${choices.map(
    ({ value, label, count }) => choice(value, label, count, false),
  )}</fieldset>`;
}

/** While a choice is checked, pairs with another value are not shown. */
function hidingRules({ name, choices }: Filter): string {
  return choices
    .map(
      ({ value }) =>
        `.filtered:has(input[value="${name}-${value}"]:checked) .pair:not([data-${name}="${value}"]){display:none}`,
    )
    .join('');
}

function article(sample: JudgedSample, third: string, names: readonly [string, string]): Html {
  const { prompt, answers, winner, reason, negLogDispersion } = sample;
  const side = (place: 0 | 1) => {
    const won = winner === (place === 0 ? 'first' : 'second');
    const text = answers[place];
    return html`<div class="side"><h4>${names[place]}${won && ' (won)'}</h4>${
      text.trim() === '' ? html`<p class="empty">(nothing)</p>` : html`<p>${text}</p>`
    }</div>`;
  };
  const words = {
    first: '',
    second: '',
    tie: 'Tie. ',
    none: `No verdict${reason === undefined ? '' : ` (${reason})`}. `,
  }[winner];
  const remark = `${words}${negLogDispersion === undefined ? '' : `w(x) = ${negLogDispersion.toFixed(2)}`}`;
  return html`<article class="pair" data-won="${winner}" data-dispersion="${third}">
<h3>${prompt}</h3>
<div class="sides">${side(0)}${side(1)}</div>
${remark !== '' && html`<p class="remark">${remark}</p>`}
</article>`;
}
