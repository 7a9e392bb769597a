import { existsSync, mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { DataError, TrainingError } from '../errors.ts';
import { isSystemError, makeDirectory } from '../system-errors.ts';
import { readJson, removeTree, sha256File, syncDirectory, syncFile, writeFileAtomic } from './files.ts';

const MANIFEST = 'checkpoint.json';
const STEP = /^step-(\d+)$/;
const TEMPORARY = /^step-\d+\.tmp-/;

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
    this.directory = directory;
    this.keep = keep;
    makeDirectory(directory);
    for (const name of readdirSync(directory)) if (TEMPORARY.test(name)) removeTree(join(directory, name));
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
    if (existsSync(path)) renameSync(path, replaced);
    renameSync(temporary, path);
    removeTree(replaced);
  }

  /**
   * The newest checkpoint whose files all have the size and hash that its manifest states. Damaged ones are passed over
   * and listed, for the caller to report.
   */
  async latest(): Promise<{ checkpoint: SavedCheckpoint | undefined; damaged: DamagedCheckpoint[] }> {
    const damaged: DamagedCheckpoint[] = [];
    for (const step of this.steps().reverse()) {
      const path = this.path(step);
      const manifest = readManifest(path);
      const reason = await damageOf(path, manifest);
      if (reason === undefined) {
        const { state } = manifest!;
        return { checkpoint: { step, path, state }, damaged };
      }
      damaged.push({ path, reason });
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

/** Undefined when there is none, or it is not one. What may pass, such as a denied permission, is thrown. */
function readManifest(path: string): Manifest | undefined {
  let content: unknown;
  try {
    content = readJson(join(path, MANIFEST));
  } catch (error) {
    if (error instanceof DataError || (isSystemError(error) && error.code === 'ENOENT')) return undefined;
    throw error;
  }
  requireKnownVersion(path, content);
  return manifestSchema.safeParse(content).data;
}

function requireKnownVersion(path: string, content: unknown): void {
  const version = (content as { version?: unknown } | null)?.version;
  if (typeof version !== 'number' || version === 1) return;
  throw new TrainingError('checkpoint-version', `${path} has a manifest of version ${version}; expected 1.`, {
    hint: 'It was written by another version of this program.',
  });
}

/** What is wrong with a checkpoint's files, if anything. */
async function damageOf(path: string, manifest: Manifest | undefined): Promise<string | undefined> {
  if (manifest === undefined) return `no readable ${MANIFEST}`;
  for (const [name, { bytes, sha256 }] of Object.entries(manifest.files)) {
    const file = join(path, name);
    const size = statSync(file, { throwIfNoEntry: false })?.size;
    if (size === undefined) return `${name} is missing`;
    if (size !== bytes) return `${name} has ${size} bytes instead of ${bytes}`;
    if ((await sha256File(file)) !== sha256) return `the SHA-256 of ${name} differs`;
  }
  return undefined;
}
