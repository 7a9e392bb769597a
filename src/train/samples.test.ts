import { expect, it } from 'vitest';
import { drawPrompts } from './samples.ts';

it('asks prompts that differ and that have a token to go on from', () => {
  const prompts = [[], [5], [5], [], [5, 6], [7]].map((tokens) => ({ tokens: Int32Array.from(tokens) }));
  expect(drawPrompts(prompts, 9, 0)).toEqual([prompts[1], prompts[4], prompts[5]]);
});

it('draws prompts that differ, in their order, as the seed says', () => {
  const prompts = Array.from({ length: 40 }, (_, index) => ({ tokens: Int32Array.of(index >> 1) }));
  const drawn = drawPrompts(prompts, 5, 0);
  const places = drawn.map((prompt) => prompts.indexOf(prompt));
  expect(places).toEqual([...places].sort((a, b) => a - b));
  expect(places.every((place) => place % 2 === 0)).toBe(true);
  expect(places).not.toEqual([0, 2, 4, 6, 8]);
  expect(drawPrompts(prompts, 5, 0)).toEqual(drawn);
  expect(drawPrompts(prompts, 5, 1)).not.toEqual(drawn);
  expect(drawPrompts(prompts, 50, 0)).toHaveLength(20);
  expect(drawn).toEqual(expect.arrayContaining(drawPrompts(prompts, 3, 0)));
});
