import { expect, it } from 'vitest';
import { EngineError } from '../errors.ts';
import { Generator, ops, zeros } from './index.ts';

const draw = (generator: Generator) => [...ops.randn([5], { generator }).toFloat64()];

it('gives equal numbers for equal seeds, other numbers for others', () => {
  expect(draw(new Generator(7))).toEqual(draw(new Generator(7)));
  expect(draw(new Generator(7))).not.toEqual(draw(new Generator(8)));
});

it('matches PyTorch: torch.randn(5, generator=torch.Generator().manual_seed(7))', () => {
  const expected = [-0.14678, 0.78615, 0.94676, -1.11433, 1.69077];
  for (const [i, value] of draw(new Generator(7)).entries()) expect(value).toBeCloseTo(expected[i]!, 3);
});

it('continues exactly from a saved state, for every kind of draw', () => {
  const generator = new Generator(1);
  draw(generator);
  const state = generator.state();
  const continued = () => [
    ...draw(generator),
    ...ops.uniform_(zeros([3]), 0, 1, { generator }).toFloat64(),
    ...ops.randperm(6, { generator }).toFloat64(),
    ...ops.bernoulli_(zeros([4]), 0.5, { generator }).toFloat64(),
  ];
  const first = continued();
  generator.setState(state);
  expect(continued()).toEqual(first);
  const other = new Generator(99);
  other.setState(state);
  expect(draw(other)).toEqual(first.slice(0, 5));
});

it('refuses a state that is none', () => {
  expect(() => new Generator(1).setState(new Uint8Array(3))).toThrow(EngineError);
});
