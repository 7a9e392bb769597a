import { mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { TrainingError } from '../errors.ts';
import { readJson, removeTree, sha256File, syncDirectory, syncFile, writeFileAtomic } from './files.ts';

const MANIFEST = 'checkpoint.json';
const STEP = /^step-(\d+)$/;
const TEMPORARY = /^step-\d+\.tmp-/;

/** `checkpoint.json`: written last, so a directory that has one is whole. */
interface Manifest {
  readonly version: 1;
  readonly step: number;
  readonly files: Readonly<Record<string, { readonly bytes: number; readonly sha256: string }>>;
  readonly state: unknown;
}

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
    mkdirSync(directory, { recursive: true });
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

  /** `fill` writes the checkpoint's files into the directory it is given. Older ones than the last `keep` go. */
  async write(
    step: number,
    state: unknown,
    fill: (directory: string) => void | Promise<void>,
  ): Promise<string> {
    const temporary = join(this.directory, `step-${step}.tmp-${process.pid}`);
    removeTree(temporary);
    mkdirSync(temporary);
    await fill(temporary);
    const files: Record<string, { bytes: number; sha256: string }> = {};
    for (const name of readdirSync(temporary).sort()) {
      const file = join(temporary, name);
      syncFile(file);
      files[name] = { bytes: statSync(file).size, sha256: await sha256File(file) };
    }
    const manifest: Manifest = { version: 1, step, files, state };
    writeFileAtomic(join(temporary, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
    const path = this.path(step);
    removeTree(path);
    renameSync(temporary, path);
    syncDirectory(this.directory);
    for (const old of this.steps().slice(0, -this.keep)) removeTree(this.path(old));
    return path;
  }

  /**
   * The newest checkpoint whose files all have the size and hash that its manifest states. Damaged ones are passed over
   * and listed, for the caller to report.
   */
  async latest(): Promise<{ checkpoint: SavedCheckpoint | undefined; damaged: DamagedCheckpoint[] }> {
    const damaged: DamagedCheckpoint[] = [];
    for (const step of this.steps().reverse()) {
      const path = this.path(step);
      const reason = await verify(path);
      if (reason === undefined) {
        const { state } = readManifest(path);
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

function readManifest(path: string): Manifest {
  const manifest = readJson(join(path, MANIFEST)) as Manifest;
  if (manifest.version !== 1 || typeof manifest.files !== 'object') {
    throw new TrainingError(
      'checkpoint-version',
      `${path} has a manifest of version ${manifest.version}; expected 1.`,
      {
        hint: 'It was written by another version of this program.',
      },
    );
  }
  return manifest;
}

async function verify(path: string): Promise<string | undefined> {
  let manifest: Manifest;
  try {
    manifest = readManifest(path);
  } catch (error) {
    if (error instanceof TrainingError) throw error;
    return `no readable ${MANIFEST}`;
  }
  for (const [name, { bytes, sha256 }] of Object.entries(manifest.files)) {
    const file = join(path, name);
    const size = statSync(file, { throwIfNoEntry: false })?.size;
    if (size === undefined) return `${name} is missing`;
    if (size !== bytes) return `${name} has ${size} bytes instead of ${bytes}`;
    if ((await sha256File(file)) !== sha256) return `the SHA-256 of ${name} differs`;
  }
  return undefined;
}
