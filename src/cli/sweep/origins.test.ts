import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { UsageError } from '../../errors.ts';
import { requireOneOrigin } from './origins.ts';
import type { PlannedRun, RunInputs } from './plan.ts';

const folder = mkdtempSync(join(tmpdir(), 'mallows-origins-'));
afterAll(() => rmSync(folder, { recursive: true }));

let made = 0;

/** A run that read `inputs`, and found this when it began; undefined: it has not begun. */
function run(provenance: object | undefined, inputs: Partial<RunInputs> = {}): PlannedRun {
  const path = join(folder, `run-${made++}`);
  mkdirSync(path);
  if (provenance !== undefined) writeFileSync(join(path, 'provenance.json'), JSON.stringify(provenance));
  return {
    cell: 'dpo',
    seed: 0,
    log: '',
    path,
    args: [],
    inputs: { model: 'm', train: 't', heldOut: 'h', ...inputs },
    referenceKey: undefined,
  };
}

const origins = (model: string, train: string, held: string) => ({
  model: { hash: model },
  data: { train: { hash: train }, eval: { hash: held } },
});

function refusal(runs: readonly PlannedRun[]): string {
  try {
    requireOneOrigin(runs);
    return '';
  } catch (error) {
    expect((error as UsageError).code).toBe('sweep-mixed');
    return (error as UsageError).message;
  }
}

describe('requireOneOrigin', () => {
  it('takes runs of the same things, those that have not begun, and those that do not say', () => {
    const old = [run({}), run({ model: {}, data: { train: {} } })];
    expect(refusal([run(origins('a', 'b', 'c')), run(origins('a', 'b', 'c')), run(undefined), ...old])).toBe(
      '',
    );
  });

  it.each([
    ['model', origins('x', 'b', 'c')],
    ['training data', origins('a', 'x', 'c')],
    ['held-out data', origins('a', 'b', 'x')],
  ])('names the runs whose %s differ', (what, other) => {
    const runs = [run(origins('a', 'b', 'c')), run(other), run(origins('a', 'b', 'c'))];
    const message = refusal(runs);
    expect(message).toContain(`${what}: SHA-256 `);
    expect(message).toContain(`… in ${runs[0]!.path}, ${runs[2]!.path}; SHA-256 x… in ${runs[1]!.path}.`);
    expect(message.match(/SHA-256/g)).toHaveLength(2);
  });

  it('lets a grid name several models and data sets', () => {
    const inputs = { model: 'other', train: 'other', heldOut: 'other' };
    expect(refusal([run(origins('a', 'b', 'c')), run(origins('x', 'y', 'z'), inputs)])).toBe('');
  });
});
