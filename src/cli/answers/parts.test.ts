import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { loadModel } from '../../checkpoints/index.ts';
import { generate } from '../../generate/index.ts';
import { createContext } from '../context.ts';
import { answerInParts, answerPartsPath } from './parts.ts';

const STORIES = fileURLToPath(
  new URL('../../../tests/fixtures/models/stories260K/stories260K-f32.gguf', import.meta.url),
);

it('goes on after the parts that are kept, to the answers of an uninterrupted run', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mallows-parts-'));
  const loaded = await loadModel(STORIES);
  try {
    const prompts = ['Once', 'The cat', 'One day'].map((text) => loaded.tokenizer.encode(text));
    const output = join(folder, 'answers.jsonl');
    const kept = answerPartsPath(output);
    const notes: string[] = [];
    const context = { ...createContext(), note: (text: string) => notes.push(text) };
    // A part is one prompt: 32 batches of one answer.
    const options = { maxNewTokens: 6, samplesPerPrompt: 32, batchSize: 1, seed: 3 };
    const lines = () => (existsSync(kept) ? readFileSync(kept, 'utf8').split('\n').length - 1 : 0);
    const stopped = (after: number) => {
      const throwIfAborted = () => {
        if (lines() > after) throw new Error('stop');
      };
      return { throwIfAborted } as AbortSignal;
    };
    const whole = await answerInParts(context, loaded, prompts, options);
    const direct = await generate(loaded.model, prompts, options);
    expect(whole.flat().map(({ tokens }) => tokens)).toEqual(direct.flat().map(({ tokens }) => [...tokens]));

    const interrupted = answerInParts(context, loaded, prompts, { ...options, signal: stopped(2) }, output);
    await expect(interrupted).rejects.toThrow('stop');
    expect(lines()).toBe(3);
    expect(await answerInParts(context, loaded, prompts, options, output)).toEqual(whole);
    expect(notes.filter((note) => note.startsWith('Going on'))).toEqual([
      `Going on after 2 of 3 prompts, whose answers are in ${kept}.`,
    ]);

    const other = { ...options, seed: 4 };
    expect(await answerInParts(context, loaded, prompts, other, output)).not.toEqual(whole);
    expect(notes.filter((note) => note.includes('another model, machine or setting'))).toHaveLength(1);

    // Over all parts, those that were kept included, and once.
    expect(notes.join()).not.toContain('longer than');
    const narrow = Object.assign(Object.create(loaded.model) as typeof loaded.model, {
      config: { ...loaded.model.config, maxPositions: 6 },
    });
    const asked = prompts.filter(({ length }) => length <= 6);
    await answerInParts(context, { ...loaded, model: narrow }, asked, options);
    expect(notes.filter((note) => note.includes('longer than'))).toEqual([
      expect.stringMatching(/^(\d+) of 96 answers with their prompts are longer than the 6 tokens/),
    ]);
  } finally {
    loaded.model.dispose();
    rmSync(folder, { recursive: true });
  }
});
