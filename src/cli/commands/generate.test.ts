import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { startChatServer } from '../../../tests/support/chat-server.ts';
import { runMallows } from '../../../tests/support/mallows.ts';
import { createContext } from '../context.ts';
import { generateCommand } from './generate.ts';

it('sends no key to a server unless one is named', () => {
  const option = generateCommand(createContext()).options.find(({ long }) => long === '--key-env');
  expect(option).toMatchObject({ defaultValue: undefined });
});

it('counts the answers of a server that are empty', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mallows-generate-'));
  const prompts = join(folder, 'prompts.txt');
  writeFileSync(prompts, 'Why?\nHow?\n');
  const server = await startChatServer(({ body }) => ({
    kind: 'answer',
    content: body.messages![0]!.content === 'Why?' ? '' : 'So.',
  }));
  const argv = ['generate', '--model', 'm', '--server', server.url, '--chat', '--prompts', prompts];
  const said = await runMallows(...argv);
  await server.close();
  rmSync(folder, { recursive: true });
  expect(said.code, said.stderr).toBe(0);
  expect(said.stderr).toContain('1 of 2 answers are empty');
});
