import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  statSync,
} from 'node:fs';
import { join, relative, resolve, sep } from 'node:path';
import { parseDocument, stringify } from 'yaml';
import { DataError, UsageError } from '../errors.ts';
import { makeDirectory } from '../system-errors.ts';
import { CheckpointStore } from './checkpoint.ts';
import { readJson, removeTree, writeFileAtomic } from './files.ts';
import { JsonLinesWriter, readJsonLines, writeJsonLines } from './jsonl.ts';
import { RunLock } from './lock.ts';
import type { MetricsRecord } from './metrics.ts';

export interface RunDirectoryOptions {
  /** Becomes `recipe.yaml`. Whatever in it decides what is computed must be equal for a run to be the same run. */
  readonly recipe: unknown;
  /** Versions, hashes, device, seed, command line: becomes `provenance.json`. */
  readonly provenance: unknown;
  /**
   * Go on with what is there, if it has this recipe and, as far as both provenances say, this model, these data and this
   * precision. Without it, a directory that holds a run is refused.
   */
  readonly resume?: boolean;
  /** Delete the run that is there. Answers, rewards and verdicts beside it are set aside into `replaced/`. */
  readonly overwrite?: boolean;
  /** Checkpoints kept. Default 1. */
  readonly keepCheckpoints?: number;
  /** Told what a user should know of a run that is resumed or overwritten. */
  readonly notice?: (code: string, message: string) => void;
}

/**
 * The contract between trainer, dashboard and user:
 *
 *     recipe.yaml        resolved; what `train` and `sft` write is re-runnable as it is
 *     provenance.json    versions, hashes, device, seed, command line
 *     metrics.jsonl      one line a step; equal runs write equal bytes
 *     timing.jsonl       wall-clock, tokens per second, memory
 *     checkpoints/step-N everything to go on bit for bit
 *     evaluations/step-N.jsonl  what each evaluation found for each held-out pair
 *     model/             the result
 *     replaced/          what others made of the models of runs that were overwritten
 *
 * Metrics are flushed to disk at every checkpoint and at the end. In between they are in the kernel's hands, which a
 * killed process cannot lose; after a power cut the run resumes from its checkpoint, which cuts them there anyway.
 */
export class RunDirectory {
  readonly path: string;
  readonly checkpoints: CheckpointStore;
  readonly #lock: RunLock;
  readonly #notice: RunDirectoryOptions['notice'];
  #metrics: JsonLinesWriter | undefined;
  #timing: JsonLinesWriter | undefined;

  private constructor(path: string, lock: RunLock, { keepCheckpoints = 1, notice }: RunDirectoryOptions) {
    this.path = path;
    this.#lock = lock;
    this.#notice = notice;
    this.checkpoints = new CheckpointStore(join(path, 'checkpoints'), keepCheckpoints);
  }

  /**
   * Creates the directory, or opens it to resume. Holds its lock until `close`.
   *
   * @throws UsageError `run-exists`, `run-differs` or `run-locked`.
   */
  static open(path: string, options: RunDirectoryOptions): RunDirectory {
    makeDirectory(path);
    const lock = RunLock.acquire(join(path, 'run.lock'));
    try {
      const recipe = stringify(options.recipe);
      const recipePath = join(path, 'recipe.yaml');
      if (options.overwrite === true) clear(path, options.notice);
      if (holdsSomeRun(path)) {
        requireFree(path, options);
        requireSameRecipe(path, readFileSync(recipePath, 'utf8'), recipe);
        requireSameOrigins(path, options);
      } else {
        writeFileAtomic(join(path, 'provenance.json'), `${JSON.stringify(options.provenance, null, 2)}\n`);
        writeFileAtomic(recipePath, recipe);
      }
      return new RunDirectory(path, lock, options);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** Directory of the resulting model. */
  get modelPath(): string {
    return join(this.path, 'model');
  }

  /** The last step that `metrics.jsonl` tells of; undefined where it tells of none. */
  loggedStep(): number | undefined {
    const file = join(this.path, 'metrics.jsonl');
    if (!existsSync(file)) return undefined;
    const last = [...readFileSync(file, 'utf8').matchAll(/^\{"step":(\d+)/gm)].at(-1);
    return last && Number(last[1]);
  }

  /** Opens the two logs, cut to what a checkpoint remembers (nothing for a new run); a warning says if less is there. */
  startLogs(metricsBytes: number): void {
    const metrics = join(this.path, 'metrics.jsonl');
    const length = statSync(metrics, { throwIfNoEntry: false })?.size ?? 0;
    if (length < metricsBytes) {
      this.#notice?.(
        'metrics-incomplete',
        `${metrics} has ${length} bytes where the checkpoint remembers ${metricsBytes}: it lacks lines of earlier steps.`,
      );
    }
    this.#metrics = new JsonLinesWriter(
      metrics,
      length < metricsBytes ? completeBytes(metrics) : metricsBytes,
    );
    const timing = join(this.path, 'timing.jsonl');
    // Timing is a diary, resumptions included: only a torn last line is cut.
    this.#timing = new JsonLinesWriter(timing, completeBytes(timing));
  }

  logMetrics(record: MetricsRecord): void {
    this.#open(this.#metrics).append(record);
  }

  logTiming(record: Readonly<Record<string, number | string>>): void {
    this.#open(this.#timing).append(record);
  }

  /** Writes a whole file of one JSON object a line, atomically. `name` may hold a folder: `evaluations/step-0.jsonl`. */
  writeRecords(name: string, records: readonly unknown[]): void {
    const file = join(this.path, name);
    writeJsonLines(file, records);
  }

  /** The records of such a file; undefined when there is none. */
  readRecords(name: string): readonly unknown[] | undefined {
    const file = join(this.path, name);
    return existsSync(file) ? readJsonLines(file).records : undefined;
  }

  get metricsBytes(): number {
    return this.#open(this.#metrics).bytes;
  }

  /** Flushes the logs to disk, before a checkpoint that refers to their length. */
  syncLogs(): void {
    this.#open(this.#metrics).sync();
    this.#open(this.#timing).sync();
  }

  close(): void {
    this.#metrics?.close();
    this.#timing?.close();
    this.#metrics = undefined;
    this.#timing = undefined;
    this.#lock.release();
  }

  #open(writer: JsonLinesWriter | undefined): JsonLinesWriter {
    if (writer === undefined) throw new Error('internal: startLogs was not called');
    return writer;
  }
}

/**
 * Refuses a directory that holds a run, unless that is resumed or overwritten, and says so where there is none to resume.
 * `RunDirectory.open` refuses it too, but it has to know the data: this can be asked before any work.
 *
 * @throws UsageError `run-exists`
 */
export function requireFree(
  path: string,
  { resume, overwrite, notice }: Pick<RunDirectoryOptions, 'resume' | 'overwrite' | 'notice'>,
): void {
  if (!holdsSomeRun(path)) {
    if (resume === true) {
      notice?.('nothing-to-resume', `There is no run in ${path} to go on with: a new one begins there.`);
    }
    return;
  }
  if (resume === true || overwrite === true) return;
  throw new UsageError('run-exists', `${path} already holds a run.`, {
    hint: 'Resume it, choose another output directory, or overwrite it.',
  });
}

/** When a run began: of one that is resumed what its provenance.json says, else now. */
export function runStart(
  path: string | undefined,
  { resume, overwrite }: Pick<RunDirectoryOptions, 'resume' | 'overwrite'>,
): Date {
  const goesOn = path !== undefined && resume === true && overwrite !== true && hasProvenance(path);
  const there = goesOn ? new Date(String(readProvenance(path).started)) : new Date();
  return Number.isNaN(there.getTime()) ? new Date() : there;
}

/** A copied run may come without it. */
function hasProvenance(path: string): boolean {
  return existsSync(join(path, 'provenance.json'));
}

/** Whether a directory holds a run, of whatever recipe. */
function holdsSomeRun(path: string): boolean {
  return existsSync(join(path, 'recipe.yaml'));
}

/** Whether a directory holds the run of this recipe, another run, or none. */
export function holdsRun(path: string, recipe: unknown): 'same' | 'other' | 'none' {
  if (!holdsSomeRun(path)) return 'none';
  const difference = recipeDifference(readFileSync(join(path, 'recipe.yaml'), 'utf8'), stringify(recipe));
  return difference === undefined ? 'same' : 'other';
}

/** The metrics of a run, finished or going on. */
export function readMetrics(runPath: string): MetricsRecord[] {
  return [...readJsonLines(join(runPath, 'metrics.jsonl')).records] as MetricsRecord[];
}

/** @throws DataError `json-damaged` */
export function readProvenance(runPath: string): Readonly<Record<string, unknown>> {
  const path = join(runPath, 'provenance.json');
  const content = readJson(path);
  if (typeof content === 'object' && content !== null) return content as Record<string, unknown>;
  throw new DataError('json-damaged', `${path} holds ${JSON.stringify(content)}; expected an object.`, {
    at: { file: path },
    hint: 'The file was changed by something else: restore it.',
  });
}

/** Length of a file of JSON lines without a torn last line. */
function completeBytes(path: string): number {
  return existsSync(path) ? readJsonLines(path).completeBytes : 0;
}

/** What a run and its report write. */
const OURS =
  /^(recipe\.yaml|provenance\.json|(metrics|timing|reference|eval-reference|samples|(eval-)?dispersion)\.jsonl|(report|dispersion)\.json|report\.html|checkpoints|evaluations|model|adapter|figures)$/;

/** Where comparisons look for what a run's model wrote, and for what judges and reward models made of that. */
const OF_ITS_MODEL = /^(answers|rewards|judged).*\.jsonl?$/;

/** Whether a file is, or lies in, what a run in `output` writes, so that overwriting that run removes or moves it. */
export function belongsToRun(output: string, file: string): boolean {
  const [name = ''] = relative(realPath(output), realPath(file)).split(sep);
  return OURS.test(name) || OF_ITS_MODEL.test(name);
}

function realPath(path: string): string {
  return existsSync(path) ? realpathSync(path) : resolve(path);
}

/**
 * Removes a run, and nothing that a run does not write. What was made of its model elsewhere may have cost money, and must
 * not be taken for the next model's: it is moved.
 */
function clear(path: string, notice: RunDirectoryOptions['notice']): void {
  const names = readdirSync(path);
  for (const name of names) if (OURS.test(name)) removeTree(join(path, name));
  const stale = names.filter((name) => OF_ITS_MODEL.test(name));
  if (stale.length === 0) return;
  const aside = join(path, 'replaced', new Date().toISOString().replaceAll(/[:.]/g, '-'));
  mkdirSync(aside, { recursive: true });
  for (const name of stale) renameSync(join(path, name), join(aside, name));
  notice?.(
    'set-aside',
    `Made with the model of the run that is overwritten, and moved to ${aside}: ${stale.join(', ')}.`,
  );
}

function requireSameRecipe(path: string, there: string, wanted: string): void {
  const difference = recipeDifference(there, wanted);
  if (difference === undefined) return;
  throw new UsageError(
    'run-differs',
    `The run in ${path} has another recipe. First difference: ${difference}.`,
    { hint: 'Resume with the same recipe, choose another output directory, or overwrite the run.' },
  );
}

/** Where a run lies, and how it is computed and kept, but not what: a run may be moved, and resumed on another machine. */
const NOT_COMPARED = /^(output|threads|referenceCache|checkpoint)(\.|$)/;

/** The first value that two recipes differ in. Order is none: resolved again, a recipe.yaml may have its keys in another. */
function recipeDifference(there: string, wanted: string): string | undefined {
  const [before, now] = [recipeValues(there), recipeValues(wanted)];
  const key = [...now.keys(), ...before.keys()].find((name) => before.get(name) !== now.get(name));
  if (key === undefined) return undefined;
  const said = (values: ReadonlyMap<string, string>) =>
    values.has(key) ? `"${key}: ${values.get(key)}"` : `no ${key}`;
  return `${said(before)} there, ${said(now)} asked for`;
}

/** Values by whole key, as YAML: `optimizer.lr` → `0.000001`. */
function recipeValues(text: string): ReadonlyMap<string, string> {
  const leaves = (value: unknown, key: string): [string, string][] => {
    const parts = typeof value === 'object' && value !== null ? Object.entries(value) : [];
    if (parts.length === 0) return [[key, stringify(value, { lineWidth: 0 }).trim()]];
    return parts.flatMap(([name, part]) => leaves(part, key === '' ? name : `${key}.${name}`));
  };
  return new Map(leaves(parseDocument(text).toJS(), '').filter(([key]) => !NOT_COMPARED.test(key)));
}

/** What a run is made of besides its recipe. Runs of earlier versions and of other programs may lack any of it. */
interface Origins {
  readonly model?: { readonly hash?: string };
  readonly data?: { readonly train?: DataOrigin; readonly eval?: DataOrigin };
  readonly precision?: { readonly dtype?: string };
  readonly seed?: number;
  readonly threads?: number;
}

interface DataOrigin {
  readonly hash?: string;
  /** Of held-out data that are a share of the training data. */
  readonly heldOutFraction?: number;
  /** Of the choice of that share. */
  readonly heldOutSeed?: number;
  readonly rows?: number;
}

/** What a resumed run must begin with again. The batch plan and the scores of the reference model follow from it. */
const COMPARED: readonly (readonly [
  what: string,
  value: (origins: Origins) => string | number | undefined,
])[] = [
  ['SHA-256 of the model', ({ model }) => model?.hash],
  ['SHA-256 of the training data', ({ data }) => data?.train?.hash],
  ['usable rows of the training data', ({ data }) => data?.train?.rows],
  ['held-out data', ({ data, seed }) => heldOut(data?.eval, seed)],
  ['usable held-out rows', ({ data }) => data?.eval?.rows],
  ['precision', ({ precision }) => precision?.dtype],
];

/** @param seed of the training: it chose the rows where no seed of their own is named */
function heldOut(
  { hash, heldOutFraction, heldOutSeed: ownSeed }: DataOrigin = {},
  seed = 0,
): string | undefined {
  if (hash !== undefined) return `SHA-256 ${hash}`;
  if (heldOutFraction === undefined) return undefined;
  const heldOutSeed = ownSeed ?? seed;
  return `${heldOutFraction} of the training data${heldOutSeed === 0 ? '' : `, drawn with seed ${heldOutSeed}`}`;
}

function requireSameOrigins(
  path: string,
  { provenance: wanted, notice }: Pick<RunDirectoryOptions, 'provenance' | 'notice'>,
): void {
  if (!hasProvenance(path)) return;
  const there: Origins = readProvenance(path);
  const { threads } = wanted as Origins;
  if (there.threads !== undefined && threads !== undefined && there.threads !== threads) {
    notice?.(
      'other-threads',
      `The run began with ${there.threads} CPU threads and goes on with ${threads}: sums may be rounded in another order, so its numbers may differ in the last digits from those of an uninterrupted run.`,
    );
  }
  const differences = COMPARED.flatMap(([what, value]) => {
    const [before, now] = [value(there), value(wanted as Origins)];
    if (before === undefined || now === undefined || before === now) return [];
    return [`${what}: ${before} there, ${now} now`];
  });
  if (differences.length === 0) return;
  throw new UsageError(
    'run-differs',
    `The run in ${path} began with something else than what is here now. ${differences.join('; ')}.`,
    {
      hint: 'Bring back what its provenance.json names, choose another output directory, or overwrite the run.',
    },
  );
}
