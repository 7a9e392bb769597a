import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runMallows } from '../../tests/support/mallows.ts';
import { requireWritable } from './writable.ts';

const folder = mkdtempSync(join(tmpdir(), 'mallows-writable-'));
const at = (...names: string[]): string => join(folder, ...names);
afterAll(() => rmSync(folder, { recursive: true }));
writeFileSync(at('afile'), 'kept');

describe('requireWritable', () => {
  it('leaves nothing, not even the folder', () => {
    requireWritable(at('new', 'newer', 'scores.jsonl'));
    requireWritable(at('afile'));
    expect(readdirSync(folder)).toEqual(['afile']);
  });

  it('refuses the word for stdout, and takes a file of that name', () => {
    expect(() => requireWritable('-')).toThrow(expect.objectContaining({ code: 'output-dash' }));
    requireWritable(at('-'));
  });

  it('refuses what lies under a file, and a directory', () => {
    const refused = { code: 'output-not-writable', message: expect.stringContaining('cannot be written') };
    expect(() => requireWritable(at('afile', 's.jsonl'))).toThrow(expect.objectContaining(refused));
    mkdirSync(at('folder'));
    expect(() => requireWritable(at('folder'))).toThrow(expect.objectContaining(refused));
    expect(readdirSync(folder).filter((name) => name.includes('probe'))).toEqual([]);
  });
});

describe('commands', () => {
  const scoring = ['--model', 'nowhere/model', '--data', 'nowhere.jsonl', '--output'];
  it.each([
    ['score', ...scoring],
    ['dispersion', ...scoring],
    ['reward', 'score', ...scoring],
    ['generate', '--model', 'nowhere/model', '--prompt', 'Why?', '--output'],
    ['judge', '--a', 'a.jsonl', '--b', 'b.jsonl', '--judge', 'cmd:judge', '--output'],
    ['winrate', 'nowhere.json', '--output'],
    ['compare', 'nowhere/a', 'nowhere/b', '--output'],
    ['compare', 'nowhere/a', 'nowhere/b', '--report'],
    ['frontier', 'nowhere/a', '--output'],
    ['export', '--model', 'nowhere/model', '--to'],
  ])('%s … finds out before it reads or computes', async (...argv) => {
    const { code, stderr } = await runMallows(...argv, at('afile', 'output.jsonl'));
    expect([code, stderr]).toEqual([2, expect.stringContaining('output-not-writable')]);
  });
});
