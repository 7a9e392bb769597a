import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { DataError, UsageError } from '../errors.ts';
import { readJson } from './files.ts';
import { readJsonLines } from './jsonl.ts';
import type { MetricsRecord } from './metrics.ts';
import {
  type EvaluatedPair,
  type EvaluationRecords,
  type PromptKl,
  type Provenance,
  RUN_FILES,
  type RunFile,
  type RunRecords,
} from './records.ts';

/** Trained weights are the last that a run writes: in one file, with an index after the others, or as an adapter. */
const WEIGHTS = ['model.safetensors', 'model.safetensors.index.json', 'adapter_model.safetensors'];

/**
 * A run directory as whoever reads it sees it: the run may have finished, go on at this moment, have been killed, or be of an
 * earlier version. What is not there is undefined, unless said otherwise.
 */
export class RunReader {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Where a file or folder of the run is, or would be. */
  file(name: RunFile): string {
    return join(this.path, RUN_FILES[name]);
  }

  /** Directory of the resulting model. */
  get modelPath(): string {
    return this.file('model');
  }

  /** Whether there is a run, of whatever recipe. */
  hasRun(): boolean {
    return existsSync(this.file('recipe'));
  }

  /** Whether the run went to its end and holds the model that came of it. */
  hasModel(): boolean {
    return WEIGHTS.some((file) => existsSync(join(this.modelPath, file)));
  }

  /** Whether its report was written, which comes after the model. */
  hasReport(): boolean {
    return existsSync(this.file('reportNumbers'));
  }

  /**
   * `recipe.yaml`, as written.
   *
   * @throws UsageError `not-a-run` when there is none
   */
  recipeText(): string {
    if (this.hasRun()) return readFileSync(this.file('recipe'), 'utf8');
    throw new UsageError('not-a-run', `${this.path} is no run directory: it has no ${RUN_FILES.recipe}.`, {
      hint: 'Pass directories that `mallows train` wrote.',
    });
  }

  /** @throws UsageError `not-a-run` when there is none */
  recipe(): Readonly<Record<string, unknown>> {
    return (parse(this.recipeText()) ?? {}) as Record<string, unknown>;
  }

  /**
   * A copied run may come without it.
   *
   * @throws DataError `json-damaged`
   */
  provenance(): Provenance | undefined {
    const file = this.file('provenance');
    if (!existsSync(file)) return undefined;
    const content = readJson(file);
    if (typeof content === 'object' && content !== null) return content as Provenance;
    throw new DataError('json-damaged', `${file} holds ${JSON.stringify(content)}; expected an object.`, {
      at: { file },
      hint: 'The file was changed by something else: restore it.',
    });
  }

  /** The metrics of every logged step; of a run that has only begun, none. */
  metrics(): MetricsRecord[] {
    return [...(readRecords(this.file('metrics')) ?? [])] as MetricsRecord[];
  }

  /** The metrics of the last step that was evaluated. */
  lastEvaluation(): MetricsRecord | undefined {
    return this.metrics().findLast((record) => Object.keys(record).some((name) => name.startsWith('eval_')));
  }

  /** Every held-out pair at an evaluation. */
  evaluation(step: number): readonly EvaluatedPair[] | undefined {
    return this.#evaluationRecords(step, 'pairs');
  }

  /** The KL of every prompt that the policy answered at an evaluation. */
  promptKls(step: number): readonly PromptKl[] | undefined {
    return this.#evaluationRecords(step, 'kl');
  }

  /** The records of one of the other files. */
  records<Name extends keyof RunRecords>(name: Name): readonly RunRecords[Name][] | undefined {
    return readRecords(this.file(name)) as readonly RunRecords[Name][] | undefined;
  }

  protected evaluationFile(step: number, name: keyof EvaluationRecords): string {
    return join(this.file('evaluations'), `step-${step}${name === 'kl' ? '.kl' : ''}.jsonl`);
  }

  #evaluationRecords<Name extends keyof EvaluationRecords>(
    step: number,
    name: Name,
  ): readonly EvaluationRecords[Name][] | undefined {
    return readRecords(this.evaluationFile(step, name)) as readonly EvaluationRecords[Name][] | undefined;
  }
}

function readRecords(file: string): readonly unknown[] | undefined {
  return existsSync(file) ? readJsonLines(file).records : undefined;
}
