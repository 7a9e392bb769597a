/** Held-out rows, and those of them whose prompt is trained on. */
export interface PromptOverlap {
  readonly rows: number;
  readonly trainedOn: number;
}

/** What `provenance.json` says of the held-out rows of a run; undefined where it does not say. */
export function promptOverlap(provenance: Readonly<Record<string, unknown>>): PromptOverlap | undefined {
  const { eval: heldOut } = Object(provenance.data) as { readonly eval?: unknown };
  const { rows, promptsTrainedOn: trainedOn } = Object(heldOut) as Readonly<Record<string, unknown>>;
  return typeof rows === 'number' && typeof trainedOn === 'number' ? { rows, trainedOn } : undefined;
}

/**
 * What that means for all that is measured on them.
 *
 * @param what the rows are: `pairs`, `texts`
 */
export function overlapWords({ rows, trainedOn }: PromptOverlap, what: string): string {
  return `${trainedOn} of ${rows} held-out ${what} have a prompt that is trained on: what is measured on them says little of other prompts.`;
}

/** What must be said of runs that hold out prompts which they train on. */
export function notesOnOverlap(
  runs: readonly { readonly path: string; readonly promptOverlap?: PromptOverlap }[],
): string[] {
  const paths = new Map<string, string[]>();
  for (const { path, promptOverlap: overlap } of runs) {
    if (overlap === undefined || overlap.trainedOn === 0) continue;
    const words = overlapWords(overlap, 'pairs');
    paths.set(words, [...(paths.get(words) ?? []), path]);
  }
  return [...paths].map(([words, own]) => `${own.join(', ')}: ${words}`);
}
