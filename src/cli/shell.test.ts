import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { shellWord } from './shell.ts';

it('leaves plain paths as they are, and quotes what a shell would take apart', () => {
  expect(shellWord('runs/a-1/recipe.yaml')).toBe('runs/a-1/recipe.yaml');
  expect(shellWord('/tmp/my runs')).toBe("'/tmp/my runs'");
  for (const word of ['', 'a b', "it's", '$HOME', '~/x', 'a;b', 'a*', '`x`', 'é"\\']) {
    const read = execFileSync('sh', ['-c', `printf %s ${shellWord(word)}`], { encoding: 'utf8' });
    expect(read).toBe(word);
  }
});
