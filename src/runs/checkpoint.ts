import { existsSync, mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { DataError, TrainingError, UsageError } from '../errors.ts';
import { describeSystemError, isSystemError, makeDirectory, namingPath } from '../system-errors.ts';
import { readJson, removeTree, sha256File, syncDirectory, syncFile, writeFileAtomic } from './files.ts';

const MANIFEST = 'checkpoint.json';
const STEP = /^step-(\d+)$/;
const TEMPORARY = /^step-\d+\.tmp-/;
/** An earlier checkpoint of a step that is written again. */
const REPLACED = /^(step-\d+)\.tmp-.*-replaced$/;

/** Faults of a file that are there at the next attempt too, unlike a denied permission or too many open files. */
const UNREADABLE: ReadonlySet<string> = new Set(['EIO', 'EISDIR', 'ENOTDIR']);

/** `checkpoint.json`: written last, so a directory that has one is whole. */
const manifestSchema = z.object({
  version: z.literal(1),
  step: z.int(),
  files: z.record(z.string(), z.object({ bytes: z.int(), sha256: z.string() })),
  state: z.record(z.string(), z.unknown()),
});

type Manifest = z.infer<typeof manifestSchema>;

export interface SavedCheckpoint {
  readonly step: number;
  readonly path: string;
  /** What the trainer stored with it: positions, random state, objective state. */
  readonly state: unknown;
}

export interface DamagedCheckpoint {
  readonly path: string;
  readonly reason: string;
}

/**
 * `checkpoints/step-N` of a run. Each is written into a temporary directory, every file flushed and hashed, the manifest
 * last, and then renamed: a kill at any moment leaves either the whole checkpoint or none.
 */
export class CheckpointStore {
  readonly directory: string;
  readonly keep: number;

  constructor(directory: string, keep: number) {
    requireKeep(keep);
    this.directory = directory;
    this.keep = keep;
    makeDirectory(directory);
    this.#restoreReplaced();
    for (const name of readdirSync(directory)) if (TEMPORARY.test(name)) removeTree(join(directory, name));
  }

  /** A kill after an earlier checkpoint was set aside, and before the new one had its name, left the step without any. */
  #restoreReplaced(): void {
    for (const name of readdirSync(this.directory)) {
      const step = REPLACED.exec(name)?.[1];
      if (step === undefined || existsSync(join(this.directory, step))) continue;
      renameSync(join(this.directory, name), join(this.directory, step));
    }
  }

  /** Steps of the checkpoints on disk, ascending. */
  steps(): number[] {
    return readdirSync(this.directory)
      .map((name) => STEP.exec(name)?.[1])
      .filter((step) => step !== undefined)
      .map(Number)
      .sort((a, b) => a - b);
  }

  path(step: number): string {
    return join(this.directory, `step-${step}`);
  }

  /**
   * `fill` writes the checkpoint's files into the directory it is given. Older ones than the last `keep` go. A failure leaves
   * the earlier ones, and nothing of this one.
   */
  async write(
    step: number,
    state: object,
    fill: (directory: string) => void | Promise<void>,
  ): Promise<string> {
    const temporary = join(this.directory, `step-${step}.tmp-${process.pid}`);
    const path = this.path(step);
    try {
      await writeWhole(temporary, { step, state }, fill);
      this.#putInPlace(temporary, path);
    } catch (error) {
      removeTree(temporary);
      throw error;
    }
    syncDirectory(this.directory);
    for (const old of this.steps().slice(0, -this.keep)) removeTree(this.path(old));
    return path;
  }

  /** An earlier one of the step is set aside first: removing it may take a while, and meanwhile there would be none. */
  #putInPlace(temporary: string, path: string): void {
    const replaced = `${temporary}-replaced`;
    const isReplacing = existsSync(path);
    if (isReplacing) renameSync(path, replaced);
    try {
      renameSync(temporary, path);
    } catch (error) {
      if (isReplacing) renameSync(replaced, path);
      throw error;
    }
    removeTree(replaced);
  }

  /**
   * The newest checkpoint whose files all have the size and hash that its manifest states. Damaged ones are passed over
   * and listed, for the caller to report. What may pass, such as a denied permission, is thrown.
   */
  async latest(): Promise<{ checkpoint: SavedCheckpoint | undefined; damaged: DamagedCheckpoint[] }> {
    const damaged: DamagedCheckpoint[] = [];
    for (const step of this.steps().reverse()) {
      const path = this.path(step);
      try {
        const { state } = await readWhole(path);
        return { checkpoint: { step, path, state }, damaged };
      } catch (error) {
        if (!(error instanceof Damage)) throw error;
        damaged.push({ path, reason: error.message });
      }
    }
    return { checkpoint: undefined, damaged };
  }

  /** Removes the checkpoints after a step: they belong to a future that the resumed run will write anew. */
  removeAfter(step: number): void {
    for (const other of this.steps()) if (other > step) removeTree(this.path(other));
  }
}

/** The files of a checkpoint in a directory of their own, flushed and hashed, the manifest last. */
async function writeWhole(
  directory: string,
  { step, state }: { readonly step: number; readonly state: object },
  fill: (directory: string) => void | Promise<void>,
): Promise<void> {
  removeTree(directory);
  mkdirSync(directory);
  await fill(directory);
  const files: Manifest['files'] = {};
  for (const name of readdirSync(directory).sort()) {
    const file = join(directory, name);
    syncFile(file);
    files[name] = { bytes: statSync(file).size, sha256: await sha256File(file) };
  }
  const manifest: Manifest = { version: 1, step, files, state: { ...state } };
  writeFileAtomic(join(directory, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
}

/** @throws UsageError `checkpoint-keep` for what is no number of checkpoints */
export function requireKeep(keep: number | undefined): void {
  if (keep === undefined || (Number.isInteger(keep) && keep >= 1)) return;
  throw new UsageError('checkpoint-keep', `checkpoint.keep is ${keep}; expected a whole number above 0.`, {
    hint: 'It is how many checkpoints stay on disk: without one a run could not go on.',
  });
}

/** What is wrong with a checkpoint's files, in words. */
class Damage extends Error {}

/** The manifest of a checkpoint, after every file that it names was compared with it. @throws Damage */
async function readWhole(path: string): Promise<Manifest> {
  const manifest = await readManifest(path);
  for (const [name, { bytes, sha256 }] of Object.entries(manifest.files)) {
    const file = join(path, name);
    const size = await reading(file, () => statSync(file, { throwIfNoEntry: false })?.size);
    if (size === undefined) throw new Damage(`${name} is missing`);
    if (size !== bytes) throw new Damage(`${name} has ${size} bytes instead of ${bytes}`);
    const found = await reading(file, () => sha256File(file));
    if (found !== sha256) throw new Damage(`the SHA-256 of ${name} differs`);
  }
  return manifest;
}

async function readManifest(path: string): Promise<Manifest> {
  const file = join(path, MANIFEST);
  const unusable = new Damage(`no readable ${MANIFEST}`);
  const content = await reading(file, () => readJson(file)).catch((error) => {
    const isNone = error instanceof DataError || (isSystemError(error) && error.code === 'ENOENT');
    throw isNone ? unusable : error;
  });
  requireKnownVersion(path, content);
  const { data } = manifestSchema.safeParse(content);
  if (data === undefined) throw unusable;
  return data;
}

/** Reads something of a file. What its disk cannot give is damage; any other error has the file's path. */
async function reading<T>(file: string, read: () => T | Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    const named = namingPath(error, file);
    if (!isSystemError(named) || !UNREADABLE.has(named.code)) throw named;
    throw new Damage(`cannot be read: ${describeSystemError(named)}`);
  }
}

function requireKnownVersion(path: string, content: unknown): void {
  const version = (content as { version?: unknown } | null)?.version;
  if (typeof version !== 'number' || version === 1) return;
  throw new TrainingError('checkpoint-version', `${path} has a manifest of version ${version}; expected 1.`, {
    hint: 'It was written by another version of this program.',
  });
}
