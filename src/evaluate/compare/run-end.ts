/** How far a run went. */
export interface RunEnd {
  /** Directory, for people. */
  readonly path: string;
  /** Step of its last evaluation. */
  readonly step: number | undefined;
  /** Whether it went to its end and holds the model that came of it. */
  readonly finished: boolean;
}

/** What must be said of runs that are taken for equally far: which did not finish, and where they differ in their steps. */
export function notesOnEnds(runs: readonly RunEnd[]): string[] {
  const notes = runs
    .filter(({ finished }) => !finished)
    .map(
      ({ path, step }) =>
        `${path} did not finish: it holds no trained model${step === undefined ? '' : `, and its last evaluation is of step ${step}`}.`,
    );
  const steps = new Map<number, string[]>();
  for (const { path, step } of runs) {
    if (step !== undefined) steps.set(step, [...(steps.get(step) ?? []), path]);
  }
  if (steps.size > 1) {
    const ends = [...steps].sort(([a], [b]) => a - b).map(([step, paths]) => `${step} (${paths.join(', ')})`);
    notes.push(`The last evaluations are of different steps: ${ends.join('; ')}.`);
  }
  return notes;
}
