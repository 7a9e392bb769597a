import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { canonicalJson } from '../../data/index.ts';
import { holdsRun, KeptParts, RunReader, readJson, writeFileAtomic } from '../../runs/index.ts';
import type { EstimatedStage } from './plan.ts';

/** What every stage of an experiment is told of. */
export interface StageWatch {
  /** All that is to be done, before any of it. */
  readonly onPlan?: (stages: readonly EstimatedStage[]) => void;
  /** A stage begins; `kept` when its result is there already. */
  readonly onStage?: (name: string, kept: boolean) => void;
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * A stage whose result is JSON, kept in `file`: computed once for the same settings. A long one collects its parts in
 * `kept`, and goes on after them when it was killed.
 */
export async function stage<T>(
  file: string,
  name: string,
  settings: unknown,
  watch: StageWatch,
  compute: (kept: KeptParts) => Promise<T>,
): Promise<T> {
  if (existsSync(file)) {
    const kept = readJson(file) as { settings: unknown; result: T };
    if (canonicalJson(kept.settings) === canonicalJson(plain(settings))) {
      watch.onStage?.(name, true);
      return kept.result;
    }
  }
  watch.onStage?.(name, false);
  watch.signal?.throwIfAborted();
  mkdirSync(dirname(file), { recursive: true });
  const parts = new KeptParts(file.replace(/(\.json)?$/, '.parts.jsonl'), settings);
  const result = await compute(parts);
  writeFileAtomic(file, `${JSON.stringify({ settings, result })}\n`);
  parts.remove();
  return result;
}

/** What a training stage passes on to the training. */
export interface RunPlace {
  readonly output: string;
  readonly recipe: unknown;
  readonly resume: boolean;
  readonly overwrite: boolean;
  readonly signal?: AbortSignal;
}

/**
 * A stage that trains a model into `path`. A finished run of the same recipe is kept, an unfinished one goes on, another
 * one is replaced. Returns the directory of the model.
 */
export async function trainingStage(
  path: string,
  name: string,
  recipe: unknown,
  watch: StageWatch,
  train: (
    place: RunPlace,
  ) => Promise<{ readonly status: string; readonly model: { readonly model: { dispose(): void } } }>,
): Promise<string> {
  const written = plain(recipe);
  const there = holdsRun(path, written);
  const run = new RunReader(path);
  const model = run.modelPath;
  const kept = there === 'same' && run.hasModel();
  watch.onStage?.(name, kept);
  if (kept) return model;
  const { signal } = watch;
  signal?.throwIfAborted();
  const result = await train({
    output: path,
    recipe: written,
    resume: there === 'same',
    overwrite: there === 'other',
    ...(signal && { signal }),
  });
  result.model.model.dispose();
  signal?.throwIfAborted();
  return model;
}

/** Settings as JSON has them: without undefined values. */
function plain(settings: unknown): unknown {
  return JSON.parse(JSON.stringify(settings)) as unknown;
}
