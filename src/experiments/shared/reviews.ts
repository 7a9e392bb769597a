/**
 * A review cut into a prompt of its first `words` words and the rest, which keeps the space before it, where tokenizers
 * expect it. Undefined for a review that is not longer.
 */
export function reviewOpening(review: string, words: number): { prompt: string; rest: string } | undefined {
  const opening = new RegExp(`^\\s*(?:\\S+\\s+){${words - 1}}\\S+(?=\\s+\\S)`).exec(review)?.[0];
  if (opening === undefined) return undefined;
  return { prompt: opening.trimStart(), rest: review.slice(opening.length) };
}
