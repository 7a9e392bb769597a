import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { RunReader } from './read.ts';
import { LOCK_FILE, REPLACED_FOLDER, RUN_FILES } from './records.ts';

const empty = () => new RunReader(mkdtempSync(join(tmpdir(), 'mallows-read-')));

function write(run: RunReader, name: string, records: readonly object[]): void {
  writeFileSync(join(run.path, name), records.map((record) => `${JSON.stringify(record)}\n`).join(''));
}

describe('reading a run', () => {
  it('takes the last step that was evaluated, whatever it measured', () => {
    const run = empty();
    write(run, 'metrics.jsonl', [
      { step: 0, eval_loss: 2 },
      { step: 1, 'eval_kl/on_policy': 3 },
      { step: 2 },
    ]);
    expect(run.lastEvaluation()).toEqual({ step: 1, 'eval_kl/on_policy': 3 });
    write(run, 'metrics.jsonl', [{ step: 1, loss: 2 }]);
    expect(run.lastEvaluation()).toBeUndefined();
  });

  it('finds nothing where a run has only begun, or was copied in part', () => {
    const run = empty();
    expect(run.hasRun()).toBe(false);
    expect(() => run.recipe()).toThrowError(expect.objectContaining({ code: 'not-a-run' }));
    writeFileSync(join(run.path, 'recipe.yaml'), 'seed: 3\n');
    expect([run.hasRun(), run.hasModel(), run.hasReport()]).toEqual([true, false, false]);
    expect(run.recipe()).toEqual({ seed: 3 });
    expect(run.metrics()).toEqual([]);
    const found = [
      run.provenance(),
      run.lastEvaluation(),
      run.evaluation(0),
      run.promptKls(0),
      run.records('samples'),
    ];
    expect(found).toEqual(new Array(5).fill(undefined));
  });

  it('reads pairs and prompts of an evaluation apart', () => {
    const run = empty();
    mkdirSync(join(run.path, 'evaluations'));
    write(run, 'evaluations/step-10.jsonl', [{ id: 'a' }]);
    write(run, 'evaluations/step-10.kl.jsonl', [{ id: 'b', kl: 1 }]);
    expect(run.evaluation(10)).toEqual([{ id: 'a' }]);
    expect(run.promptKls(10)).toEqual([{ id: 'b', kl: 1 }]);
    expect(run.evaluation(1)).toBeUndefined();
  });
});

it('docs/architecture.md has every name in a run directory', () => {
  const page = readFileSync(fileURLToPath(new URL('../../docs/architecture.md', import.meta.url)), 'utf8');
  const section = page.slice(page.indexOf('## The run directory'), page.indexOf('## Command line'));
  const names = [...Object.values(RUN_FILES), LOCK_FILE, REPLACED_FOLDER];
  expect(names.filter((name) => !section.includes(name))).toEqual([]);
});
