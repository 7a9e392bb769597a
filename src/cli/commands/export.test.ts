import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openModel } from '../../checkpoints/index.ts';
import { createContext } from '../context.ts';
import { exportCommand } from './export.ts';

const STORIES = 'tests/fixtures/models/stories260K/stories260K-f32.gguf';

let folder: string;
const at = (...names: string[]): string => join(folder, ...names);
const note = vi.fn();

const exported = (to: string, ...flags: string[]) =>
  exportCommand({ ...createContext(), note })
    .exitOverride()
    .parseAsync(['--model', STORIES, '--to', to, ...flags], { from: 'user' });

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mallows-export-'));
  vi.stubEnv('MALLOWS_CACHE', at('cache'));
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

/** The type of a checkpoint's first weight. */
async function typeOf(path: string): Promise<string> {
  const { weights } = await openModel(path);
  const weight = weights.get([...weights.names()][0]!);
  try {
    return weight.dtype;
  } finally {
    weight.dispose();
    weights.close();
  }
}

describe('export', () => {
  it('replaces a model only when told to, and never a README.md', async () => {
    await exported(at('model'));
    expect(readFileSync(at('model', 'README.md'), 'utf8')).toContain('# model');
    const config = readFileSync(at('model', 'config.json'), 'utf8');
    writeFileSync(at('model', 'README.md'), 'My own words.\n');
    await expect(exported(at('model'), '--dtype', 'bf16')).rejects.toMatchObject({
      code: 'export-exists',
      message: expect.stringMatching(/holds config\.json, .*model\.safetensors, .*would be replaced/),
      hint: expect.stringContaining('overwrite the model'),
    });
    expect(readFileSync(at('model', 'config.json'), 'utf8')).toBe(config);
    await exported(at('model'), '--dtype', 'bf16', '--overwrite');
    expect(await typeOf(at('model'))).toBe('bfloat16');
    expect(readFileSync(at('model', 'README.md'), 'utf8')).toBe('My own words.\n');
    expect(note).toHaveBeenCalledWith(expect.stringContaining('README.md is left as it was'));
    expect(readdirSync(at('model')).filter((file) => file.endsWith('.kept'))).toEqual([]);
  });

  it('leaves no card of another model beside the weights, and loses none', async () => {
    await exported(at('twice'));
    await exported(at('twice'), '--overwrite');
    await exported(at('twice'), '--overwrite');
    for (const file of ['README.md', 'README.before.md', 'README.before-2.md']) {
      expect(readFileSync(at('twice', file), 'utf8')).toContain('# twice');
    }
    expect(note).toHaveBeenCalledWith(expect.stringContaining('README.before.md'));
  });

  it('takes a directory with files of other kinds, such as a fresh repository', async () => {
    await exported(at('clone'));
    for (const file of readdirSync(at('clone'))) if (file !== 'README.md') rmSync(at('clone', file));
    writeFileSync(at('clone', 'README.md'), 'Mine.\n');
    writeFileSync(at('clone', '.gitattributes'), '');
    // What a killed export put aside is the owner's; what stands in its place is a card.
    writeFileSync(at('clone', 'README.md.kept'), 'Mine before.\n');
    await exported(at('clone'));
    expect(readFileSync(at('clone', 'README.md'), 'utf8')).toBe('Mine before.\n');
    expect(existsSync(at('clone', 'model.safetensors'))).toBe(true);
  });

  it('leaves no folder where there is no model', async () => {
    const argv = ['--model', './nowhere', '--to', at('none', 'model')];
    const failed = exportCommand({ ...createContext(), note }).parseAsync(argv, { from: 'user' });
    await expect(failed).rejects.toMatchObject({ code: 'model-not-found' });
    expect(existsSync(at('none'))).toBe(false);
  });

  it('keeps the type that the weights have', async () => {
    const asked = ['--model', at('half'), '--to'];
    await exported(at('half'), '--dtype', 'bf16');
    const run = (...argv: string[]) =>
      exportCommand({ ...createContext(), note }).parseAsync(argv, { from: 'user' });
    await run(...asked, at('again'));
    expect(await typeOf(at('again'))).toBe('bfloat16');
    await run(...asked, at('half.GGUF'));
    expect(note).toHaveBeenLastCalledWith(expect.stringContaining('half.GGUF (bf16)'));
    expect(readFileSync(at('half.GGUF')).subarray(0, 4).toString()).toBe('GGUF');
    await expect(run(...asked, at('half.GGUF'))).rejects.toMatchObject({ code: 'export-exists' });
    await run(...asked, at('half.GGUF'), '--overwrite', '--dtype', 'q8_0');
  });
});
