import type { Verdict } from './contract.ts';

const OUTCOMES = { A: 'first', B: 'second', C: 'tie' } as const;

/**
 * Reads the verdict out of a judge's answer: `[[A]]`, `[[B]]` or `[[C]]` (tie). The answer must hold one verdict and no
 * other; repeating the same one is fine. Anything else has no outcome.
 */
export function parseVerdict(text: string): Verdict {
  const found = new Set(
    Array.from(text.matchAll(/\[\[([ABC])\]\]/g), (match) => match[1] as 'A' | 'B' | 'C'),
  );
  const [only] = found;
  return found.size === 1 ? { outcome: OUTCOMES[only!], text } : { reason: 'unparsable', text };
}

/**
 * Reads a preference from the log-probabilities of a judge's first token:
 * P(first) = e^ℓ(first) / (e^ℓ(first) + e^ℓ(second)). Tokens that differ only in surrounding white space count
 * together. A label that is not among the most likely tokens has probability 0; if neither is, there is no outcome.
 */
export function parseLogprobs(
  tokens: readonly { readonly token: string; readonly logprob: number }[],
  labels: { readonly first: string; readonly second: string },
): Verdict {
  const mass = (label: string) =>
    tokens.reduce((sum, { token, logprob }) => sum + (token.trim() === label ? Math.exp(logprob) : 0), 0);
  const first = mass(labels.first);
  const second = mass(labels.second);
  const text = tokens
    .map(({ token, logprob }) => `${JSON.stringify(token)} ${logprob.toFixed(3)}`)
    .join(', ');
  if (!(first + second > 0)) return { reason: 'unparsable', text };
  const preference = first / (first + second);
  return { outcome: preference === 0.5 ? 'tie' : preference > 0.5 ? 'first' : 'second', preference, text };
}
