/** Words and single marks, in lower case; anything but white space belongs to one. */
export function words(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}\p{M}]+|[^\s\p{L}\p{N}\p{M}]/gu) ?? [];
}

/**
 * Share of a text's n-grams that are different from each other, in (0, 1]: 1 says that nothing is repeated. NaN for a text
 * of fewer than n words. (distinct-n of Li et al. 2016, within one answer, so that it is a figure of each answer.)
 */
export function distinctN(text: readonly string[], n: number): number {
  const grams = ngrams(text, n);
  return new Set(grams).size / grams.length;
}

/**
 * Self-BLEU (Zhu et al. 2018): BLEU-4 of each text against all the others. High values say that the texts resemble each
 * other. Needs at least two texts.
 */
export function selfBleu(texts: readonly (readonly string[])[]): number[] {
  return texts.map((text, i) =>
    bleu(
      text,
      texts.filter((_, j) => j !== i),
    ),
  );
}

const ORDERS = [1, 2, 3, 4];
/** Stands in for a count of zero matches (method 1 of Chen and Cherry 2014). */
const EPSILON = 0.1;

/** Sentence BLEU-4 with uniform weights, in [0, 1]. */
export function bleu(hypothesis: readonly string[], references: readonly (readonly string[])[]): number {
  let logPrecision = 0;
  for (const n of ORDERS) {
    const counts = countNgrams(hypothesis, n);
    const allowed = references.map((reference) => countNgrams(reference, n));
    let matches = 0;
    for (const [gram, count] of counts) {
      matches += Math.min(count, Math.max(0, ...allowed.map((reference) => reference.get(gram) ?? 0)));
    }
    if (n === 1 && matches === 0) return 0;
    const total = Math.max(1, hypothesis.length - n + 1);
    logPrecision += Math.log((matches === 0 ? EPSILON : matches) / total) / ORDERS.length;
  }
  return brevityPenalty(hypothesis.length, references) * Math.exp(logPrecision);
}

/** 1 for a text at least as long as the reference nearest in length; of two as near, the shorter. */
function brevityPenalty(length: number, references: readonly (readonly string[])[]): number {
  const closest = references
    .map((reference) => reference.length)
    .reduce((best, candidate) => {
      const [near, far] = [Math.abs(candidate - length), Math.abs(best - length)];
      return near < far || (near === far && candidate < best) ? candidate : best;
    });
  return length > closest ? 1 : Math.exp(1 - closest / length);
}

function ngrams(text: readonly string[], n: number): string[] {
  return Array.from({ length: Math.max(0, text.length - n + 1) }, (_, i) => text.slice(i, i + n).join(' '));
}

function countNgrams(text: readonly string[], n: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (const gram of ngrams(text, n)) counts.set(gram, (counts.get(gram) ?? 0) + 1);
  return counts;
}
