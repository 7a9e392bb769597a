import { type Html, html, trusted } from './html.ts';

/** Two answers to one prompt, with what is known of them. */
export interface JudgedSample {
  readonly prompt: string;
  readonly answers: readonly [string, string];
  readonly winner: 'first' | 'second' | 'tie' | 'none';
  /** w(x): below 1 people would disagree, above 1 they would agree. */
  readonly negLogDispersion?: number;
}

interface Filter {
  readonly name: string;
  readonly legend: string;
  readonly choices: readonly { readonly value: string; readonly label: string; readonly count: number }[];
}

/**
 * Pairs side by side, with filters by who won and, where w(x) is known, by thirds of dispersion. The filters are radio
 * buttons and style rules: the page needs no script.
 */
export function judgedPairs(samples: readonly JudgedSample[], names: readonly [string, string]): Html {
  const thirds = dispersionThirds(samples);
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
      legend: 'People would',
      choices: [
        { value: 'low', label: 'disagree most', count: count(thirds, 'low') },
        { value: 'middle', label: 'middle third', count: count(thirds, 'middle') },
        { value: 'high', label: 'agree most', count: count(thirds, 'high') },
      ],
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
  const { prompt, answers, winner, negLogDispersion } = sample;
  const side = (place: 0 | 1) => {
    const won = winner === (place === 0 ? 'first' : 'second');
    const text = answers[place];
    return html`<div class="side"><h4>${names[place]}${won && ' (won)'}</h4>${
      text.trim() === '' ? html`<p class="empty">(nothing)</p>` : html`<p>${text}</p>`
    }</div>`;
  };
  const words = { first: '', second: '', tie: 'Tie. ', none: 'No verdict. ' }[winner];
  const remark = `${words}${negLogDispersion === undefined ? '' : `w(x) = ${negLogDispersion.toFixed(2)}`}`;
  return html`<article class="pair" data-won="${winner}" data-dispersion="${third}">
<h3>${prompt}</h3>
<div class="sides">${side(0)}${side(1)}</div>
${remark !== '' && html`<p class="remark">${remark}</p>`}
</article>`;
}

/** Each sample's third by w(x): `low` holds the contested prompts; `unknown` without w(x). */
function dispersionThirds(samples: readonly JudgedSample[]): string[] {
  const known = samples.flatMap(({ negLogDispersion }) => negLogDispersion ?? []).sort((a, b) => a - b);
  const [lower, upper] = [known[Math.floor(known.length / 3)], known[Math.floor((2 * known.length) / 3)]];
  return samples.map(({ negLogDispersion: w }) => {
    if (w === undefined) return 'unknown';
    return w < lower! ? 'low' : w < upper! ? 'middle' : 'high';
  });
}
