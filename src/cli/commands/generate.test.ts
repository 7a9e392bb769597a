import { expect, it } from 'vitest';
import { createContext } from '../context.ts';
import { generateCommand } from './generate.ts';

it('sends no key to a server unless one is named', () => {
  const option = generateCommand(createContext()).options.find(({ long }) => long === '--key-env');
  expect(option).toMatchObject({ defaultValue: undefined });
});
