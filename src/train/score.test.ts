import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { tinyModel } from '../../tests/support/tiny-models.ts';
import { tinyPairs } from '../../tests/support/tiny-pairs.ts';
import { memory, noGrad, ops, setThreads, tensor, tidy } from '../engine/index.ts';
import { generate } from '../generate/index.ts';
import { whileTraining } from '../models/in-use.ts';
import { scorePairs, scoreRow } from './score.ts';
import { type ReferenceCache, referencePath } from './score-store.ts';

setThreads(1);
const key = { model: 'm', data: 'd', maxLength: 64, dtype: 'float64', rounding: 'cpu' };
const cacheIn = (): ReferenceCache => ({ directory: mkdtempSync(join(tmpdir(), 'mallows-reference-')), key });

describe('scoring pairs', () => {
  it('gives each pair what it gets alone, in input order', async () => {
    const model = tinyModel();
    const pairs = tinyPairs(9);
    const scores = await scorePairs(model, pairs, { rowTokens: 40 });
    for (const [index, pair] of pairs.entries()) {
      const [alone] = scoreRow(model, [pair]);
      expect(scores[index]!.id).toBe(pair.id);
      for (const side of ['chosen', 'rejected'] as const) {
        expect(scores[index]![side].tokens).toBe(pair[side].length);
        expect(scores[index]![side].logp).toBeCloseTo(alone![side].logp, 10);
        expect(scores[index]![side].entropy).toBeCloseTo(alone![side].entropy, 10);
      }
    }
    model.dispose();
  });

  it('by hand: a model that knows nothing gives −n ln V and ln V', async () => {
    const model = tinyModel();
    tidy(() => noGrad(() => ops.zero_(model.head.weight.value)));
    const [score] = await scorePairs(model, tinyPairs(1));
    expect(score!.chosen.logp).toBeCloseTo(-score!.chosen.tokens * Math.log(53), 10);
    expect(score!.chosen.entropy).toBeCloseTo(Math.log(53), 12);
    model.dispose();
  });

  it('goes on without a cache that cannot be written, and says so once', async () => {
    const model = tinyModel();
    const pairs = tinyPairs(5);
    const file = join(mkdtempSync(join(tmpdir(), 'mallows-reference-')), 'file');
    writeFileSync(file, '');
    const notices: string[] = [];
    const scores = await scorePairs(model, pairs, {
      rowTokens: 30,
      cache: { directory: join(file, 'references'), key },
      notice: (message) => notices.push(message),
    });
    expect(scores).toEqual(await scorePairs(model, pairs, { rowTokens: 30 }));
    expect(notices).toEqual([expect.stringMatching(/^These reference scores are not kept: ENOTDIR/)]);
    model.dispose();
  });

  it('tells of pairs and prompts beyond the context of a rotary model', async () => {
    const model = tinyModel();
    const ids = (length: number) => Int32Array.from({ length }, (_, index) => 3 + (index % 40));
    const long = { ...tinyPairs(1)[0]!, id: 'long', prompt: ids(70) };
    const notices: string[] = [];
    const notice = (message: string) => notices.push(message);
    await scorePairs(model, [...tinyPairs(3), long], { notice });
    await generate(model, [ids(70), ids(4)], { maxNewTokens: 1, notice });
    expect(notices).toEqual([
      expect.stringMatching(/^1 of 4 pairs are longer than the 64 tokens/),
      expect.stringMatching(/^1 of 2 prompts are longer than the 64 tokens/),
    ]);
    model.dispose();
  });

  it('goes on where it was stopped, ignores a torn line, and is free the next time', async () => {
    const model = tinyModel();
    const pairs = tinyPairs(12);
    const cache = cacheIn();
    const expected = await scorePairs(model, pairs, { rowTokens: 30 });
    const stop = new AbortController();
    const onProgress = (done: number) => done >= 4 && stop.abort();
    const stopped = scorePairs(model, pairs, { rowTokens: 30, cache, onProgress, signal: stop.signal });
    await expect(stopped).rejects.toMatchObject({ name: 'AbortError' });
    const partial = referencePath(cache, 30).replace('.jsonl', '.partial.jsonl');
    writeFileSync(partial, `${readFileSync(partial, 'utf8')}{"index": 7, "id`);
    const firstProgress: number[] = [];
    const resumed = await scorePairs(model, pairs, {
      rowTokens: 30,
      cache,
      onProgress: (done) => firstProgress.push(done),
    });
    expect(firstProgress[0]).toBeGreaterThanOrEqual(4);
    expect(firstProgress[0]).toBeLessThan(12);
    expect(resumed).toEqual(expected);
    expect(existsSync(partial)).toBe(false);
    // A model that would answer differently shows that nothing is computed any more.
    const other = tinyModel('llama', 'float64', 9);
    expect(await scorePairs(other, pairs, { rowTokens: 30, cache })).toEqual(expected);
    expect(readdirSync(cache.directory)).toHaveLength(1);
    other.dispose();
    model.dispose();
  });

  it('says so where a lock keeps it from keeping its scores', async () => {
    const [model, pairs, cache] = [tinyModel(), tinyPairs(5), cacheIn()];
    const lock = referencePath(cache).replace('.jsonl', '.lock');
    writeFileSync(lock, JSON.stringify({ pid: 1, host: 'a-container-before', began: '7' }));
    const notices: string[] = [];
    const notice = (message: string) => notices.push(message);
    const expected = await scorePairs(model, pairs);
    expect(await scorePairs(model, pairs, { cache, notice })).toEqual(expected);
    expect(notices).toEqual([expect.stringContaining(`delete ${lock}`)]);
    expect(readdirSync(cache.directory)).toHaveLength(1);
    model.dispose();
  });

  it('does not trust a file of other pairs or with damage', async () => {
    const model = tinyModel();
    const pairs = tinyPairs(5);
    const cache = cacheIn();
    const expected = await scorePairs(model, pairs, { cache });
    const path = referencePath(cache);
    const good = readFileSync(path, 'utf8');
    for (const bad of [
      good.replace('pair-3', 'pair-x'),
      good.replace('"logp":-', '"logp":"'),
      'nonsense\n',
    ]) {
      expect(bad).not.toBe(good);
      writeFileSync(path, bad);
      expect(await scorePairs(model, pairs, { cache })).toEqual(expected);
      expect(readFileSync(path, 'utf8')).toBe(good);
    }
    model.dispose();
  });

  it('names rows whose scores are not numbers', async () => {
    const model = tinyModel();
    const { value } = model.finalNormParameters[0]!;
    tidy(() => noGrad(() => ops.copy_(value, tensor(new Array(16).fill(Number.NaN), { dtype: 'float64' }))));
    await expect(scorePairs(model, tinyPairs(2))).rejects.toMatchObject({
      code: 'score-not-finite',
      message: expect.stringMatching(/pair-[01], pair-[01]/),
    });
    model.dispose();
  });

  it.each([false, true])(
    'leaves no lock where someone else trains the model (as training: %s)',
    async (asTraining) => {
      const [model, pairs, cache] = [tinyModel(), tinyPairs(5), cacheIn()];
      let end = () => {};
      const training = whileTraining(model, () => new Promise<void>((resolve) => (end = resolve)));
      const scoring = scorePairs(model, pairs, { cache, asTraining });
      await expect(scoring).rejects.toMatchObject({ code: 'model-in-use' });
      expect(readdirSync(cache.directory)).toEqual([]);
      end();
      await training;
      expect(await scorePairs(model, pairs, { cache, asTraining })).toHaveLength(5);
      model.dispose();
    },
  );

  it('leaves no tensor behind', async () => {
    const model = tinyModel();
    const before = memory().liveTensors;
    await scorePairs(model, tinyPairs(6));
    expect(memory().liveTensors).toBe(before);
    model.dispose();
  });
});
