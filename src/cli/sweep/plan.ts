import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { resolveRecipe, type TrainRecipe, trainRecipe } from '../../config/index.ts';
import { canonicalJson } from '../../data/index.ts';
import { UsageError } from '../../errors.ts';
import { createObjective, type ObjectiveOptions } from '../../objectives/index.ts';
import { decisiveValues } from '../../runs/index.ts';

/** One key of the grid with its values, as they were written. */
export interface GridAxis {
  readonly key: string;
  readonly values: readonly string[];
}

/** One setting of the grid. */
export interface Cell {
  /** In words: `mallows-theta, beta 0.1`. */
  readonly name: string;
  /** Value by key, as written; a shuffled control has `dispersion.shuffle` too. */
  readonly values: Readonly<Record<string, string>>;
  /** Whether it was added as the control of another cell. */
  readonly control: boolean;
  /** The resolved recipe but for seed and output. */
  readonly recipe: TrainRecipe;
}

/** One training run of a sweep. */
export interface PlannedRun {
  readonly cell: string;
  readonly seed: number;
  /** Its run directory; what decides the same gets the same one, so that a sweep can go on or grow. */
  readonly path: string;
  /** Where what it says goes: apart from the run directories, so that a shell's pattern finds those alone. */
  readonly log: string;
  /** Arguments of `mallows`. */
  readonly args: readonly string[];
  readonly inputs: RunInputs;
  /** Equal for runs that read the same scores of the reference model; absent when none are needed. */
  readonly referenceKey: string | undefined;
}

/** What a run reads, as its recipe says it: runs that say the same have to find the same. */
export interface RunInputs {
  readonly model: string;
  readonly train: string;
  /** Undefined when held-out pairs are a share of the data. */
  readonly heldOut: string | undefined;
}

export interface SweepPlan {
  readonly cells: readonly Cell[];
  readonly runs: readonly PlannedRun[];
}

export interface SweepRequest {
  /** Recipe file, found. */
  readonly file: string | undefined;
  readonly set: readonly string[];
  readonly grid: readonly GridAxis[];
  readonly seeds: number;
  readonly output: string;
  /** Put a shuffled-dispersion control beside every cell whose objective weighs pairs by dispersion. */
  readonly controls: boolean;
}

const SHUFFLE = 'dispersion.shuffle';

/** Folder of the runs in a sweep's directory. */
export const RUNS = 'runs';

/** `objective.beta=0.1,0.05`; commas inside brackets and quotes belong to a value. */
export function parseGrid(text: string): GridAxis {
  const split = text.indexOf('=');
  const key = text.slice(0, split).trim();
  const values = splitList(text.slice(split + 1));
  if (split < 1 || values.length === 0 || values.some((value) => value === '')) {
    throw new UsageError(
      'grid-syntax',
      `--grid ${text}: expected key=value,value, such as objective.beta=0.05,0.1.`,
    );
  }
  const repeated = values.find((value, index) => values.indexOf(value) !== index);
  if (repeated !== undefined) throw new UsageError('grid-repeats', `--grid ${text} names ${repeated} twice.`);
  return { key, values };
}

function splitList(text: string): string[] {
  const parts = text.match(/(?:\[[^\]]*\]|\{[^}]*\}|"[^"]*"|'[^']*'|[^,])+/g) ?? [];
  return parts.map((part) => part.trim());
}

/** Resolves every cell, so that a wrong value stops the sweep before anything is trained. */
export function planSweep(request: SweepRequest): SweepPlan {
  const { grid, seeds, output } = request;
  const repeated = grid.find(({ key }, index) => grid.findIndex((axis) => axis.key === key) !== index);
  if (repeated !== undefined) {
    throw new UsageError('grid-repeats', `The grid names ${repeated.key} twice.`, {
      hint: 'Give all values of a key in one --grid.',
    });
  }
  if (grid.some(({ key }) => key === 'seed' || key === 'output')) {
    throw new UsageError('grid-key', 'A sweep chooses seeds and output directories itself.', {
      hint: 'Use --seeds N and --output DIR.',
    });
  }
  const cells: Cell[] = [];
  for (const values of combinations(grid)) {
    const cell = cellOf(values, false, request);
    if (!cells.some(({ name }) => name === cell.name)) cells.push(cell);
    if (request.controls && !(SHUFFLE in values) && !cell.recipe.dispersion.shuffle && weighs(cell.recipe)) {
      cells.push(cellOf({ ...values, [SHUFFLE]: 'true' }, true, request));
    }
  }
  // A seed at a time over all cells: what there is when a sweep is stopped can be compared.
  const runs = Array.from({ length: seeds }, (_, index) =>
    cells.map((cell): PlannedRun => {
      const seed = cell.recipe.seed + index;
      const place = join(`${slug(cell.name)}-${fingerprint(cell.recipe)}`, `seed-${seed}`);
      const path = join(output, RUNS, place);
      const assignments = [...request.set, ...written(cell.values), `seed=${seed}`];
      return {
        cell: cell.name,
        seed,
        path,
        log: join(output, 'logs', `${place}.log`),
        args: [
          'train',
          ...(request.file === undefined ? [] : [request.file]),
          ...assignments.flatMap((one) => ['--set', one]),
          '--output',
          path,
          '--resume',
          '--json',
        ],
        inputs: inputsOf(cell.recipe),
        referenceKey: referenceKey(cell.recipe),
      };
    }),
  );
  return { cells, runs: runs.flat() };
}

/** Whether a folder of runs is one of a cell of this name, whatever else its recipe says. */
export function isPlaceOf(folder: string, cell: string): boolean {
  return folder.replace(/-[0-9a-f]{8}$/, '') === slug(cell);
}

/** A baseline that the sweep lacks stops it before anything is trained. */
export function requireCell(name: string, cells: readonly Cell[]): void {
  if (cells.some((cell) => cell.name === name)) return;
  throw new UsageError('sweep-baseline', `The sweep has no cell "${name}" to compare with.`, {
    hint: `Choose one of: ${cells.map((cell) => `"${cell.name}"`).join(', ')}.`,
  });
}

/**
 * Whether a test between two cells answers a question: they differ in nothing but the objective and the control, or, in
 * a sweep with one objective only, in one key.
 */
export function comparable(cells: readonly Cell[]): (first: string, second: string) => boolean {
  const byName = new Map(cells.map((cell) => [cell.name, cell.values]));
  const methods = ['objective.name', SHUFFLE];
  const method = (values: Cell['values']) => methods.map((key) => values[key] ?? '').join(' ');
  const severalMethods = new Set(cells.map(({ values }) => method(values))).size > 1;
  return (first, second) => {
    const [a, b] = [byName.get(first)!, byName.get(second)!];
    const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])];
    const different = keys.filter((key) => a[key] !== b[key]);
    return severalMethods ? different.every((key) => methods.includes(key)) : different.length === 1;
  };
}

function combinations(grid: readonly GridAxis[]): Record<string, string>[] {
  return grid.reduce<Record<string, string>[]>(
    (rows, { key, values }) => rows.flatMap((row) => values.map((value) => ({ ...row, [key]: value }))),
    [{}],
  );
}

function cellOf(values: Readonly<Record<string, string>>, control: boolean, request: SweepRequest): Cell {
  const { recipe } = resolveRecipe(trainRecipe, {
    file: request.file,
    set: [...request.set, ...written(values)],
  });
  return { name: nameOf(values, recipe), values, control, recipe };
}

function written(values: Readonly<Record<string, string>>): string[] {
  return Object.entries(values).map(([key, value]) => `${key}=${value}`);
}

function nameOf(values: Readonly<Record<string, string>>, recipe: TrainRecipe): string {
  const shuffled = recipe.dispersion.shuffle ? ', shuffled' : '';
  const rest = Object.entries(values).filter(([key]) => key !== 'objective.name' && key !== SHUFFLE);
  return [
    recipe.objective.name + shuffled,
    ...rest.map(([key, value]) => `${key.split('.').at(-1)} ${value}`),
  ].join(', ');
}

function weighs({ objective }: TrainRecipe): boolean {
  return createObjective(objective as ObjectiveOptions).usesDispersion;
}

/** Which rows a file of pairs makes hangs on the model too, by its chat template. */
function inputsOf({ model, data, eval_data, format, columns }: TrainRecipe): RunInputs {
  const read = (source: string) => JSON.stringify([source, model, format, columns]);
  return { model, train: read(data), heldOut: eval_data === undefined ? undefined : read(eval_data) };
}

/** Everything that the scores of the reference model depend on; what is held out does not follow the seed. */
function referenceKey(recipe: TrainRecipe): string | undefined {
  const { needsReference, usesDispersion } = createObjective(recipe.objective as ObjectiveOptions);
  const byEntropy = usesDispersion && recipe.dispersion.source === 'entropy';
  if (!needsReference && !byEntropy) return undefined;
  const { model, data, eval_data, eval_fraction, format, columns, max_length, dtype, device } = recipe;
  const split = eval_data ?? eval_fraction;
  return JSON.stringify([model, data, split, format, columns, max_length, dtype, device]);
}

function fingerprint(recipe: TrainRecipe): string {
  const { seed: _, ...rest } = decisiveValues(recipe);
  return createHash('sha256').update(canonicalJson(rest)).digest('hex').slice(0, 8);
}

function slug(name: string): string {
  return name
    .toLowerCase()
    .replace(/[^a-z0-9.]+/g, '-')
    .replace(/^-|-$/g, '');
}
