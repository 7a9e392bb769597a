import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { UsageError } from '../errors.ts';
import { makeDirectory } from '../system-errors.ts';
import { CheckpointStore } from './checkpoint.ts';
import { writeFileAtomic } from './files.ts';
import { JsonLinesWriter, readJsonLines, writeJsonLines } from './jsonl.ts';
import { RunLock } from './lock.ts';
import type { MetricsRecord } from './metrics.ts';
import { clearRun } from './overwrite.ts';
import { RunReader } from './read.ts';
import {
  type EvaluationRecords,
  LOCK_FILE,
  type Provenance,
  type RunRecords,
  type StepTiming,
} from './records.ts';
import { requireSameOrigins, requireSameRecipe } from './same-run.ts';

export interface RunDirectoryOptions {
  /** Becomes `recipe.yaml`. Whatever in it decides what is computed must be equal for a run to be the same run. */
  readonly recipe: unknown;
  /** Versions, hashes, device, seed, command line: becomes `provenance.json`. */
  readonly provenance: Provenance;
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
 * The run directory as a trainer holds it: what is in it is said by `RUN_FILES`.
 *
 * Metrics are flushed to disk at every checkpoint and at the end. In between they are in the kernel's hands, which a
 * killed process cannot lose; after a power cut the run resumes from its checkpoint, which cuts them there anyway.
 */
export class RunDirectory extends RunReader {
  readonly checkpoints: CheckpointStore;
  readonly #lock: RunLock;
  readonly #notice: RunDirectoryOptions['notice'];
  #metrics: JsonLinesWriter | undefined;
  #timing: JsonLinesWriter | undefined;

  private constructor(path: string, lock: RunLock, { keepCheckpoints = 1, notice }: RunDirectoryOptions) {
    super(path);
    this.#lock = lock;
    this.#notice = notice;
    this.checkpoints = new CheckpointStore(this.file('checkpoints'), keepCheckpoints);
  }

  /**
   * Creates the directory, or opens it to resume. Holds its lock until `close`.
   *
   * @throws UsageError `run-exists`, `run-differs` or `run-locked`.
   */
  static open(path: string, options: RunDirectoryOptions): RunDirectory {
    makeDirectory(path);
    const lock = RunLock.acquire(join(path, LOCK_FILE));
    try {
      const run = new RunReader(path);
      const recipe = stringify(options.recipe);
      const { provenance, overwrite, notice } = options;
      if (overwrite === true) clearRun(path, notice);
      if (run.hasRun()) {
        requireFree(path, options);
        requireSameRecipe(run, recipe);
        requireSameOrigins(run, provenance, notice);
      } else {
        writeFileAtomic(run.file('provenance'), `${JSON.stringify(provenance, null, 2)}\n`);
        writeFileAtomic(run.file('recipe'), recipe);
      }
      return new RunDirectory(path, lock, options);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** The last step that `metrics.jsonl` tells of; undefined where it tells of none. */
  loggedStep(): number | undefined {
    const file = this.file('metrics');
    if (!existsSync(file)) return undefined;
    const last = [...readFileSync(file, 'utf8').matchAll(/^\{"step":(\d+)/gm)].at(-1);
    return last && Number(last[1]);
  }

  /** Opens the two logs, cut to what a checkpoint remembers (nothing for a new run); a warning says if less is there. */
  startLogs(metricsBytes: number): void {
    const metrics = this.file('metrics');
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
    const timing = this.file('timing');
    // Timing is a diary, resumptions included: only a torn last line is cut.
    this.#timing = new JsonLinesWriter(timing, completeBytes(timing));
  }

  logMetrics(record: MetricsRecord): void {
    this.#open(this.#metrics).append(record);
  }

  logTiming(record: StepTiming): void {
    this.#open(this.#timing).append(record);
  }

  /** Writes a whole file of one JSON object a line, atomically. */
  writeRecords<Name extends keyof RunRecords>(name: Name, records: readonly RunRecords[Name][]): void {
    writeJsonLines(this.file(name), records);
  }

  /** Writes what an evaluation found, as `writeRecords` writes. */
  writeEvaluation<Name extends keyof EvaluationRecords>(
    step: number,
    name: Name,
    records: readonly EvaluationRecords[Name][],
  ): void {
    writeJsonLines(this.evaluationFile(step, name), records);
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
  if (!new RunReader(path).hasRun()) {
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
  const goesOn = path !== undefined && resume === true && overwrite !== true;
  const provenance = goesOn ? new RunReader(path).provenance() : undefined;
  const there = provenance === undefined ? new Date() : new Date(String(provenance.started));
  return Number.isNaN(there.getTime()) ? new Date() : there;
}

/** Length of a file of JSON lines without a torn last line. */
function completeBytes(path: string): number {
  return existsSync(path) ? readJsonLines(path).completeBytes : 0;
}
