import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const script = fileURLToPath(new URL('../scripts/ops/generate.mjs', import.meta.url));

it('src/engine/ops.generated.ts is what scripts/ops/operators.txt generates', () => {
  expect(execFileSync(process.execPath, [script, '--check'], { encoding: 'utf8' })).toBe('');
});
