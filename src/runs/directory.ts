import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { stringify } from 'yaml';
import { UsageError } from '../errors.ts';
import { CheckpointStore } from './checkpoint.ts';
import { readJson, removeTree, writeFileAtomic } from './files.ts';
import { JsonLinesWriter, readJsonLines, writeJsonLines } from './jsonl.ts';
import { RunLock } from './lock.ts';

/** One line of `metrics.jsonl`: numbers under TRL's names where they mean the same. Deterministic values only. */
export type MetricsRecord = { readonly step: number } & Readonly<Record<string, number | null>>;

export interface RunDirectoryOptions {
  /** Whatever must be equal for a run to be the same run: becomes `recipe.yaml`. */
  readonly recipe: unknown;
  /** Versions, hashes, device, seed, command line: becomes `provenance.json`. */
  readonly provenance: unknown;
  /** Go on with what is there. Without it, a directory that holds a run is refused. */
  readonly resume?: boolean;
  /** Delete the run that is there. */
  readonly overwrite?: boolean;
  /** Checkpoints kept. Default 2. */
  readonly keepCheckpoints?: number;
}

/**
 * The contract between trainer, dashboard and user:
 *
 *     recipe.yaml        resolved, re-runnable as it is
 *     provenance.json    versions, hashes, device, seed, command line
 *     metrics.jsonl      one line a step; equal runs write equal bytes
 *     timing.jsonl       wall-clock, tokens per second, memory
 *     checkpoints/step-N everything to go on bit for bit
 *     evaluations/step-N.jsonl  what each evaluation found for each held-out pair
 *     model/             the result
 *
 * Metrics are flushed to disk at every checkpoint and at the end. In between they are in the kernel's hands, which a
 * killed process cannot lose; after a power cut the run resumes from its checkpoint, which cuts them there anyway.
 */
export class RunDirectory {
  readonly path: string;
  readonly checkpoints: CheckpointStore;
  readonly #lock: RunLock;
  #metrics: JsonLinesWriter | undefined;
  #timing: JsonLinesWriter | undefined;

  private constructor(path: string, lock: RunLock, keep: number) {
    this.path = path;
    this.#lock = lock;
    this.checkpoints = new CheckpointStore(join(path, 'checkpoints'), keep);
  }

  /** Creates the directory, or opens it to resume. Holds its lock until `close`. */
  static open(path: string, options: RunDirectoryOptions): RunDirectory {
    mkdirSync(path, { recursive: true });
    const lock = RunLock.acquire(join(path, 'run.lock'));
    try {
      const recipe = stringify(options.recipe, { sortMapEntries: false });
      const recipePath = join(path, 'recipe.yaml');
      if (options.overwrite === true) clear(path);
      if (existsSync(recipePath)) {
        const there = readFileSync(recipePath, 'utf8');
        if (options.resume !== true) throw alreadyThere(path);
        if (there !== recipe) throw otherRun(path, there, recipe);
      } else {
        writeFileAtomic(join(path, 'provenance.json'), `${JSON.stringify(options.provenance, null, 2)}\n`);
        writeFileAtomic(recipePath, recipe);
      }
      return new RunDirectory(path, lock, options.keepCheckpoints ?? 2);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** Directory of the resulting model. */
  get modelPath(): string {
    return join(this.path, 'model');
  }

  /** Opens the two logs, cut to what a checkpoint remembers (nothing for a new run). */
  startLogs(metricsBytes: number): void {
    this.#metrics = new JsonLinesWriter(join(this.path, 'metrics.jsonl'), metricsBytes);
    const timing = join(this.path, 'timing.jsonl');
    // Timing is a diary, resumptions included: only a torn last line is cut.
    this.#timing = new JsonLinesWriter(timing, existsSync(timing) ? readJsonLines(timing).completeBytes : 0);
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
    mkdirSync(dirname(file), { recursive: true });
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

/** Whether a directory holds the run of this recipe, another run, or none. */
export function holdsRun(path: string, recipe: unknown): 'same' | 'other' | 'none' {
  const file = join(path, 'recipe.yaml');
  if (!existsSync(file)) return 'none';
  return readFileSync(file, 'utf8') === stringify(recipe, { sortMapEntries: false }) ? 'same' : 'other';
}

/** The metrics of a run, finished or going on. */
export function readMetrics(runPath: string): MetricsRecord[] {
  return [...readJsonLines(join(runPath, 'metrics.jsonl')).records] as MetricsRecord[];
}

export function readProvenance(runPath: string): Readonly<Record<string, unknown>> {
  return readJson(join(runPath, 'provenance.json')) as Record<string, unknown>;
}

/** Removes a run, and nothing that a run does not write. */
function clear(path: string): void {
  const ours =
    /^(recipe\.yaml|provenance\.json|(metrics|timing|reference|eval-reference|samples|dispersion)\.jsonl|(report|dispersion)\.json|report\.html|checkpoints|evaluations|model|adapter|figures)$/;
  for (const name of readdirSync(path)) if (ours.test(name)) removeTree(join(path, name));
}

function alreadyThere(path: string): UsageError {
  return new UsageError('run-exists', `${path} already holds a run.`, {
    hint: 'Resume it (--resume), choose another output directory, or overwrite it (--overwrite).',
  });
}

function otherRun(path: string, there: string, wanted: string): UsageError {
  const a = there.split('\n');
  const b = wanted.split('\n');
  const line = b.findIndex((text, index) => text !== a[index]);
  return new UsageError(
    'run-differs',
    `The run in ${path} has another recipe. First difference, line ${line + 1} of recipe.yaml: ` +
      `"${(a[line] ?? '').trim()}" there, "${(b[line] ?? '').trim()}" asked for.`,
    { hint: 'Resume with the same recipe, or choose another output directory.' },
  );
}
