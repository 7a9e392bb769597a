import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { CHAT, type ChatStories, chatStories } from '../../tests/support/chat-stories.ts';
import { STORIES } from '../../tests/support/stories.ts';
import { type LoadedModel, loadModel } from '../checkpoints/index.ts';
import { setThreads } from '../engine/index.ts';
import { Tokenizer } from '../text/index.ts';
import * as kl from './kl.ts';
import { trainPreference } from './preference.ts';
import { SampleSheet } from './samples.ts';
import { Session } from './session.ts';
import { trainSft } from './sft.ts';

vi.mock('./kl.ts', { spy: true });

setThreads(1);

const directory = mkdtempSync(join(tmpdir(), 'mallows-chats-'));
let stories: ChatStories;
beforeAll(async () => {
  stories = await chatStories();
});
afterAll(() => {
  stories.loaded.model.dispose();
  rmSync(directory, { recursive: true });
});

it('answers to chats among the samples end where turns do, answers to texts do not', async () => {
  const { loaded, answer } = stories;
  const tokens = loaded.tokenizer.encodeChat(CHAT, { addGenerationPrompt: true });
  const answers = async (prompt: typeof CHAT | string) => {
    const asked = [{ id: '0', prompt, chosen: prompt, tokens }];
    const sheet = new SampleSheet(loaded.model, loaded.tokenizer, asked, 12);
    await sheet.before(undefined);
    return (await sheet.after(undefined))![0]!.before;
  };
  const short = loaded.tokenizer.decode(answer);
  expect(await answers(CHAT)).toBe(short);
  expect((await answers('Once upon a time')).length).toBeGreaterThan(short.length);
});

/** Saves a model as training does, untrained, and gives back its generation_config.json. */
async function saved(name: string, model: LoadedModel, learnt?: { chats: boolean }) {
  const output = join(directory, name);
  const after = await Session.run({ model, output, dtype: 'fp32' }, 0, async (session) => {
    const run = session.openRun({})!;
    session.castForReference();
    session.startTraining();
    const trained = await session.save(run, { name }, learnt);
    run.close();
    return trained;
  });
  const text = readFileSync(join(output, 'model', 'generation_config.json'), 'utf8');
  expect(after.generationConfig).toEqual(JSON.parse(text));
  return { text, path: join(output, 'model') };
}

it('a model that learnt from chats is saved with the end of their turns, as a list, and stops there when loaded', async () => {
  const { loaded, end } = stories;
  const { text, path } = await saved('chats', loaded, { chats: true });
  expect(JSON.parse(text)).toEqual({ ...loaded.generationConfig, eos_token_id: [2, end] });
  const again = await loadModel(path);
  expect(again.config.eosTokenIds).toEqual([2, end]);
  again.model.dispose();
});

it('a model that learnt from texts, or whose EOS ends turns, is saved with the bytes of its own', async () => {
  const { loaded } = stories;
  const own = `${JSON.stringify(loaded.generationConfig, null, 2)}\n`;
  expect((await saved('texts', loaded)).text).toBe(own);
  const chatTemplate = '{% for message in messages %}{{ message.content }}{{ eos_token }}{% endfor %}';
  const tokenizer = new Tokenizer({ ...loaded.tokenizer.files, chatTemplate });
  expect((await saved('eos', { ...loaded, tokenizer }, { chats: true })).text).toBe(own);
});

const chats = ['Tom', 'Mia', 'Sam', 'Sue'].map((name) => ({
  id: name,
  prompt: [{ role: 'user', content: `Once there was a child named ${name}.` }] as const,
  answers: [
    [{ role: 'assistant', content: ' It was happy.' }],
    [{ role: 'assistant', content: ' It was sad.' }],
  ] as const,
}));

it('training on chats saves where they end; on texts it does not', async () => {
  const { loaded, end } = stories;
  const eos = (output: string) =>
    JSON.parse(readFileSync(join(output, 'model', 'generation_config.json'), 'utf8')).eos_token_id;
  const common = { model: loaded, dtype: 'fp32', steps: 1, learningRate: 1e-12, evalFraction: 0.5 } as const;
  const pairs = chats.map(({ id, prompt, answers: [chosen, rejected] }) => ({
    id,
    prompt,
    chosen,
    rejected,
  }));
  const tuned = await trainPreference({
    ...common,
    data: pairs,
    objective: 'dpo',
    batch: { pairs: 2 },
    referenceCache: false,
    output: join(directory, 'pairs'),
  });
  expect(eos(join(directory, 'pairs'))).toEqual([2, end]);
  expect(tuned.model.generationConfig.eos_token_id).toEqual([2, end]);
  const sequences = chats.map(({ id, prompt, answers: [completion] }) => ({ id, prompt, completion }));
  await trainSft({ ...common, data: sequences, output: join(directory, 'sft') });
  expect(eos(join(directory, 'sft'))).toEqual([2, end]);
  const texts = chats.map(({ id }) => ({
    id,
    prompt: `Once there was ${id}.`,
    completion: ' It was happy.',
  }));
  await trainSft({ ...common, data: texts, output: join(directory, 'text') });
  expect(eos(join(directory, 'text'))).toEqual(2);
});

it('the on-policy KL is over answers that end where turns do', async () => {
  const { loaded, end } = stories;
  const asked: unknown[] = [];
  vi.spyOn(kl, 'onPolicyKl').mockImplementation(async (_policy, _reference, prompts, options) => {
    asked.push(options.stopTokenIds);
    return new Float64Array(prompts.length);
  });
  await trainPreference({
    model: loaded,
    dtype: 'fp32',
    steps: 1,
    lora: { rank: 2 },
    data: chats.map(({ id, prompt, answers: [chosen, rejected] }) => ({ id, prompt, chosen, rejected })),
    objective: 'dpo',
    batch: { pairs: 2 },
    evalFraction: 0.5,
    referenceCache: false,
    evaluation: { klSamples: 1, maxNewTokens: 4 },
  });
  expect(asked.length).toBeGreaterThan(0);
  for (const ids of asked) expect(ids).toEqual([2, end]);
});

it('a template that writes the date writes the day on which the run began, also when it is resumed on another', async () => {
  const { files } = stories.loaded.tokenizer;
  const chatTemplate = `{{ strftime_now('%d %b %Y') }}${files.chatTemplate}`;
  const pairs = ['Tom', 'Mia', 'Sam', 'Sue'].map((name) => ({
    id: name,
    prompt: [{ role: 'user', content: `Who is ${name}?` }] as const,
    chosen: [{ role: 'assistant', content: 'A happy child.' }] as const,
    rejected: [{ role: 'assistant', content: 'A sad child.' }] as const,
  }));
  vi.useFakeTimers({ toFake: ['Date'] });
  const train = async (name: string, day: string, options: { resume?: boolean; stopAt?: number } = {}) => {
    vi.setSystemTime(new Date(`${day}T12:00`));
    const loaded = await loadModel(STORIES);
    const stop = new AbortController();
    const { metrics } = await trainPreference({
      model: { ...loaded, tokenizer: new Tokenizer({ ...files, chatTemplate }) },
      data: pairs,
      objective: 'dpo',
      steps: 3,
      batch: { pairs: 2 },
      evalFraction: 0,
      dtype: 'fp32',
      referenceCache: false,
      output: join(directory, name),
      ...(options.resume && { resume: true }),
      signal: stop.signal,
      observer: (event) => event.type === 'step' && event.step === options.stopAt && stop.abort(),
    });
    loaded.model.dispose();
    return metrics.at(-1)!;
  };
  try {
    const whole = await train('whole', '2026-03-07');
    await train('resumed', '2026-03-07', { stopAt: 1 });
    expect(await train('resumed', '2027-12-24', { resume: true })).toEqual(whole);
    expect(await train('another-day', '2027-12-24')).not.toEqual(whole);
  } finally {
    vi.useRealTimers();
  }
});
