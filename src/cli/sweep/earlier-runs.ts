import { existsSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { stringify } from 'yaml';
import { writtenRecipe } from '../../config/index.ts';
import { RunReader, recipeDifference } from '../../runs/index.ts';
import { isPlaceOf, type PlannedRun, RUNS, type SweepPlan } from './plan.ts';

/** A finished run in the sweep's directory, and the planned one of the same cell that begins anew beside it. */
interface LeftRun {
  readonly path: string;
  readonly planned: PlannedRun;
  /** The first value that their recipes differ in; undefined where they decide the same. */
  readonly difference: string | undefined;
}

/** What must be said before runs are trained a second time: finished ones that the sweep would be thought to keep. */
export function notesOnEarlierRuns(plan: SweepPlan, output: string): string[] {
  const alike = new Map<string, LeftRun[]>();
  for (const run of leftRuns(plan, output)) {
    const key = `${run.planned.cell} ${run.difference}`;
    alike.set(key, [...(alike.get(key) ?? []), run]);
  }
  return [...alike.values()].map((runs) => {
    const [{ path, planned, difference }] = runs as [LeftRun];
    const which = runs.length === 1 ? path : `${path} and ${runs.length - 1} more`;
    return difference === undefined
      ? `${planned.cell}: trained anew, although ${which} finished with the same recipe. To keep such a run, move it to ${planned.path}.`
      : `${planned.cell}: trained anew beside ${which}, which finished with another recipe. First difference: ${difference}.`;
  });
}

function leftRuns({ cells, runs }: SweepPlan, output: string): LeftRun[] {
  const recipes = new Map(cells.map(({ name, recipe }) => [name, writtenRecipe(recipe)]));
  const planned = new Set(runs.map(({ path }) => path));
  const finished = runDirectories(join(output, RUNS)).filter(
    (path) => !planned.has(path) && isFinished(path),
  );
  return runs.flatMap((run) => {
    if (isFinished(run.path)) return [];
    const wanted = stringify({ ...recipes.get(run.cell), seed: run.seed });
    return finished
      .filter((path) => basename(path) === basename(run.path) && isPlaceOf(basename(dirname(path)), run.cell))
      .map((path) => ({
        path,
        planned: run,
        difference: recipeDifference(new RunReader(path).recipeText(), wanted),
      }));
  });
}

function isFinished(path: string): boolean {
  const run = new RunReader(path);
  return run.hasRun() && run.hasReport();
}

/** `CELL/seed-N` below a directory. */
function runDirectories(place: string): string[] {
  const below = (path: string) =>
    existsSync(path)
      ? readdirSync(path, { withFileTypes: true })
          .filter((entry) => entry.isDirectory())
          .map(({ name }) => join(path, name))
      : [];
  return below(place).flatMap(below);
}
