import { expect, it } from 'vitest';
import { firstPrompts } from './samples.ts';

it('asks the first prompts that differ and that have a token to go on from', () => {
  const prompts = [[], [5], [5], [], [5, 6], [7]].map((tokens) => ({ tokens: Int32Array.from(tokens) }));
  expect(firstPrompts(prompts, 2)).toEqual([prompts[1], prompts[4]]);
});
