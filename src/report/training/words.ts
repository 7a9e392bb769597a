import type { Estimate } from './contract.ts';

/** A number with a true minus sign, and none before zero. */
export function decimals(value: number, digits: number): string {
  const text = value.toFixed(digits);
  return text.replace('-', Number(text) === 0 ? '' : '−');
}

export function percent(value: number): string {
  return `${(100 * value).toFixed(1)}\u00a0%`;
}

/** The interval is of the change: what a claim about the change is decided by. `scale` 100: in points of a percentage. */
export function changeWords(
  { estimate, low, high }: Estimate,
  { scale = 1, digits = 3, unit = '' } = {},
): string {
  const number = (value: number) => decimals(scale * value, digits);
  return `change ${number(estimate)}${unit}, 95 % interval ${number(low)} to ${number(high)}`;
}

/** Which way something went, as far as its interval shows. */
export function direction({ low, high }: Estimate): 'up' | 'down' | 'unclear' {
  return low > 0 ? 'up' : high < 0 ? 'down' : 'unclear';
}

export function capital(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}
