import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { TINY_CONFIGS } from '../../../tests/support/tiny-models.ts';
import { tinyPairs } from '../../../tests/support/tiny-pairs.ts';
import { loadClassifier, modelTensors, openModel, saveDirectory } from '../../checkpoints/index.ts';
import { Generator, memory, noGrad, ops, setThreads, tensor, tidy } from '../../engine/index.ts';
import { initialiseClassifier, readModelConfig, type SequenceClassifier } from '../../models/index.ts';
import { MasterWeights } from '../../optim/index.ts';
import type { TrainEvent } from '../../train/contract.ts';
import { GradientStore } from '../../train/gradients.ts';
import { runLoop } from '../../train/loop.ts';
import { TextClassifier, trainClassifier } from './classifier.ts';
import { type AnswerToScore, RewardJudge, RewardModel } from './reward-model.ts';
import { bradleyTerry, RewardTask } from './reward-task.ts';
import {
  packScoredPairs,
  packScoredSequences,
  type ScoreWatch,
  scorePass,
  scoreSequences,
} from './score-pass.ts';
import type { ScorerLoadOptions } from './scorer.ts';
import { trainReward } from './train-reward.ts';

// Models this small lose more to waking threads than they gain.
setThreads(1);

const STORIES = fileURLToPath(
  new URL('../../../tests/fixtures/models/stories260K/stories260K-f32.gguf', import.meta.url),
);

const models: SequenceClassifier[] = [];
afterEach(() => {
  for (const model of models.splice(0)) model.dispose();
});

function tinyReward(dtype: 'float64' | 'float32', pad?: number): SequenceClassifier {
  const config = readModelConfig({
    ...TINY_CONFIGS.llama,
    num_labels: 1,
    ...(pad !== undefined && { pad_token_id: pad }),
  });
  const model = initialiseClassifier(config, new Generator(4), { dtype, device: 'cpu' });
  models.push(model);
  return model;
}

function scoresOf(model: SequenceClassifier, scored: ReturnType<typeof packScoredPairs>): number[] {
  return tidy(() => [...scorePass(model, scored, { gradients: false }).scores]);
}

describe('bradleyTerry', () => {
  it('has the loss and slopes that can be worked by hand', () => {
    const { losses, slopes } = bradleyTerry([0, 1], Float64Array.of(2, 1, -1, 3), 0.1);
    const lose = (margin: number) => 1 / (1 + Math.exp(margin));
    expect(losses[0]).toBeCloseTo(Math.log(1 + Math.exp(-1)) + 0.1 * 9, 12);
    expect(losses[1]).toBeCloseTo(Math.log(1 + Math.exp(4)) + 0.1 * 4, 12);
    expect([...slopes].map((x) => x.toFixed(10))).toEqual(
      [-lose(1) + 0.6, lose(1) + 0.6, -lose(-4) + 0.4, lose(-4) + 0.4].map((x) => x.toFixed(10)),
    );
  });

  it('does not overflow', () => {
    expect(bradleyTerry([0], Float64Array.of(-800, 800), 0).losses[0]).toBe(1600);
    expect(bradleyTerry([0], Float64Array.of(800, -800), 0).losses[0]).toBe(0);
  });
});

describe('scores', () => {
  it('of packed pairs equal those of whole sequences one at a time', () => {
    const model = tinyReward('float64');
    const pairs = tinyPairs(6, 2);
    const packed = scoresOf(model, packScoredPairs(pairs, undefined));
    const alone = pairs.flatMap(({ prompt, chosen, rejected }) =>
      [chosen, rejected].map(
        (completion) => scoresOf(model, packScoredSequences([{ prompt, completion }], undefined))[0]!,
      ),
    );
    packed.forEach((score, i) => {
      expect(score).toBeCloseTo(alone[i]!, 10);
    });
    expect(new Set(packed.map((score) => score.toFixed(8))).size).toBeGreaterThan(6);
  });

  it('read the last token, and the last before padding', () => {
    const prompt = Int32Array.of(5, 6);
    const ending = (...tokens: number[]) => ({ prompt, completion: Int32Array.from(tokens) });
    const read = (model: SequenceClassifier, pad: number | undefined, ...tokens: number[]) =>
      scoresOf(model, packScoredSequences([ending(...tokens)], pad))[0]!;
    const model = tinyReward('float64');
    expect(read(model, undefined, 7, 8, 9)).not.toBeCloseTo(read(model, undefined, 7, 8), 6);
    expect(read(model, 9, 7, 8, 9, 9)).toBeCloseTo(read(model, 9, 7, 8), 10);
    expect(read(model, 9, 7, 9, 8)).not.toBeCloseTo(read(model, 9, 7), 6);
  });

  it('have the gradient of finite differences, in every kind of weight', () => {
    const model = tinyReward('float64');
    const pairs = tinyPairs(3, 5);
    const task = new RewardTask(model, pairs, 0.05);
    const parameters = [...model.parameters.values()];
    for (const { value } of parameters) value.setRequiresGrad(true);
    const store = new GradientStore();
    task.rowPass()({ items: [0, 1, 2], totalWeight: 3, gradients: store, check: () => {} });
    const loss = () => task.evaluate([0, 1, 2]).losses.reduce((sum, each) => sum + each, 0) / 3;
    const step = 1e-5;
    const checked = [
      'score.weight',
      'model.embed_tokens.weight',
      'model.layers.1.mlp.down_proj.weight',
      'model.norm.weight',
    ];
    for (const name of checked) {
      const parameter = model.parameters.get(name)!;
      const gradient = store.get(parameter)!.toFloat64();
      // The entry that matters most, so that the check cannot pass on zeros.
      const at = gradient.reduce(
        (best, slope, i) => (Math.abs(slope) > Math.abs(gradient[best]!) ? i : best),
        0,
      );
      const nudge = (by: number) =>
        tidy(() =>
          noGrad(() => {
            const flat = new Float64Array(parameter.value.size);
            flat[at] = by;
            ops.add_(parameter.value, tensor(flat, { shape: parameter.value.shape, dtype: 'float64' }));
          }),
        );
      nudge(step);
      const up = loss();
      nudge(-2 * step);
      const down = loss();
      nudge(step);
      expect(Math.abs(gradient[at]!), name).toBeGreaterThan(1e-3);
      expect(gradient[at]! / ((up - down) / (2 * step)), name).toBeCloseTo(1, 5);
    }
    store.clear();
  });
});

describe('RewardJudge', () => {
  it('scores an answer once, however many it is compared with', async () => {
    const asked: string[] = [];
    const model = {
      loaded: { source: { spec: 'length' } },
      score: async (answers: readonly AnswerToScore[]) => {
        asked.push(...answers.map(({ answer }) => String(answer)));
        return Float64Array.from(answers, ({ answer }) => answer.length);
      },
    } as unknown as RewardModel;
    const judge = new RewardJudge(model);
    const compare = (first: string, second: string) =>
      judge.compare({ id: '', prompt: 'p', first, second }).then(({ outcome }) => outcome);
    expect(await Promise.all([compare('a', 'bb'), compare('bb', 'a'), compare('bb', 'cc')])).toEqual([
      'second',
      'first',
      'tie',
    ]);
    expect(await compare('cc', 'ddd')).toBe('second');
    expect(asked).toEqual(['a', 'bb', 'cc', 'ddd']);
  });
});

describe('scoring', () => {
  it('stops at a signal, between rows', async () => {
    const stop = new AbortController();
    // 60 times 42 tokens: more than fit into one row.
    const sequences = Array.from({ length: 60 }, (_, i) => ({
      prompt: Int32Array.of(5, 6),
      completion: Int32Array.from({ length: 40 }, (_, j) => 3 + ((i + j) % 50)),
    }));
    const done: number[] = [];
    const scoring = scoreSequences(tinyReward('float32'), sequences, {
      onProgress: (count) => {
        done.push(count);
        stop.abort('SIGINT');
      },
      signal: stop.signal,
    });
    await expect(scoring).rejects.toBe('SIGINT');
    expect(done).toHaveLength(1);
    expect(done[0]!).toBeLessThan(sequences.length);
  });

  it('of judged pairs follows the signal that they were asked under', async () => {
    const signals: (AbortSignal | undefined)[] = [];
    const model = {
      loaded: { source: { spec: 'length' } },
      score: async (answers: readonly AnswerToScore[], { signal }: ScoreWatch) => {
        signals.push(signal);
        signal?.throwIfAborted();
        return Float64Array.from(answers, ({ answer }) => answer.length);
      },
    } as unknown as RewardModel;
    const judge = new RewardJudge(model);
    const pair = { id: '', prompt: 'p', first: 'a', second: 'bb' };
    const stopped = AbortSignal.abort('SIGINT');
    const outcomes = await Promise.allSettled([judge.compare(pair), judge.compare(pair, stopped)]);
    expect(outcomes).toMatchObject([
      { status: 'fulfilled', value: { outcome: 'second' } },
      { status: 'rejected', reason: 'SIGINT' },
    ]);
    expect(signals).toEqual([undefined, stopped]);
  });
});

describe('training', () => {
  it('learns to tell chosen from rejected, and leaves no tensor behind', async () => {
    const model = tinyReward('float32');
    const pairs = tinyPairs(8, 3);
    const task = new RewardTask(model, pairs);
    const parameters = [...model.parameters.values()];
    const live: number[] = [];
    const { metrics } = await runLoop({
      parameters,
      masters: new MasterWeights(parameters, 'float32'),
      task,
      rowPass: task.rowPass(),
      optimizer: { name: 'adamw' },
      learningRate: 3e-3,
      seed: 0,
      batch: { pairs: 4 },
      steps: 60,
      observer: (event) => {
        if (event.type === 'step') live.push(memory().liveTensors);
      },
    });
    expect(metrics.at(-1)!['rewards/accuracies']).toBe(1);
    expect(metrics.at(-1)!.loss!).toBeLessThan(0.1);
    expect(metrics[0]!.loss!).toBeGreaterThan(0.3);
    expect(new Set(live.slice(2)).size).toBe(1);
  });

  it.each([
    ['steps and epochs', { steps: 2, epochs: 1 }, 'steps-and-epochs'],
    ['a warm-up that is no share', { schedule: { name: 'linear', warmupRatio: 2 } }, 'warmup-ratio'],
  ] as const)(
    'refuses contradicting options before it loads or writes anything: %s',
    async (_, wrong, code) => {
      const output = join(mkdtempSync(join(tmpdir(), 'mallows-reward-')), 'run');
      const events: TrainEvent[] = [];
      const observer = (event: TrainEvent) => events.push(event);
      const training = trainReward({ model: STORIES, data: 'nowhere.jsonl', output, observer, ...wrong });
      await expect(training).rejects.toMatchObject({ code });
      expect(events).toEqual([]);
      expect(existsSync(output)).toBe(false);
    },
  );

  it('cannot go on with a run that it is not told the place of', async () => {
    const training = trainReward({ model: STORIES, data: 'nowhere.jsonl', resume: true });
    await expect(training).rejects.toMatchObject({ code: 'resume-without-output' });
  });

  it('refuses adapters that the model has no place for before it reads data', async () => {
    const before = memory().liveTensors;
    const training = trainReward({
      model: STORIES,
      data: 'nowhere.jsonl',
      lora: { targetModules: ['nope'] },
    });
    await expect(training).rejects.toMatchObject({ code: 'unknown-lora-target' });
    expect(memory().liveTensors).toBe(before);
  });

  it.each([
    ['data that are not there', { data: 'nowhere.jsonl' }, 'missing-file'],
    ['a rate that is far too high', { learningRate: 1e30 }, /not-finite$/],
    ['a rate that is far too high, with LoRA', { learningRate: 1e30, lora: { rank: 2 } }, /not-finite$/],
  ])('frees all that it made when it fails: %s', async (_, training, code) => {
    const before = memory().liveTensors;
    const pairs = ['Tom', 'Mia'].map((name) => ({
      id: name,
      prompt: name,
      chosen: ' is happy.',
      rejected: ' is sad.',
    }));
    const failing = trainReward({
      model: STORIES,
      data: pairs,
      evalFraction: 0,
      steps: 3,
      dtype: 'fp32',
      ...training,
    });
    await expect(failing).rejects.toMatchObject({ code: expect.stringMatching(code) });
    expect(memory().liveTensors).toBe(before);
  });

  it.each([
    ['bf16', {}],
    ['fp32', { lora: { rank: 2 } }],
  ] as const)('tells why a %s model could not be saved, and frees it', async (dtype, training) => {
    const output = mkdtempSync(join(tmpdir(), 'mallows-reward-'));
    const before = memory().liveTensors;
    const failing = trainReward({
      model: STORIES,
      data: [{ id: '0', prompt: 'Tom', chosen: ' is happy.', rejected: ' is sad.' }],
      evalFraction: 0,
      steps: 1,
      output,
      dtype,
      ...training,
      observer: (event) => {
        if (event.type === 'phase' && event.phase === 'save') writeFileSync(join(output, 'model'), '');
      },
    });
    await expect(failing).rejects.toMatchObject({ code: expect.stringMatching(/^E(EXIST|NOTDIR)$/) });
    expect(memory().liveTensors).toBe(before);
    rmSync(output, { recursive: true });
  });
});

describe('a trained reward model', () => {
  const data = [{ id: '0', prompt: 'Tom', chosen: ' is happy.', rejected: ' is sad.' }];
  const short = {
    model: STORIES,
    data,
    evalFraction: 0,
    steps: 1,
    learningRate: 1e-3,
    dtype: 'fp32',
  } as const;

  it('says that no file holds it, and judges under that name', async () => {
    const base = await openModel(STORIES);
    base.weights.close();
    const notes: string[] = [];
    const { model } = await trainReward({
      ...short,
      observer: (event) => event.type === 'note' && notes.push(event.code),
    });
    expect(model.source).toMatchObject({ weights: [], baseModel: base.source.baseModel });
    expect(model.source.hash).not.toBe(base.source.hash);
    const judge = new RewardJudge(new RewardModel(model));
    expect(judge.name).toBe(`${base.source.spec} (changed in memory)`);
    expect(notes).toContain('precision');
    await judge.close();
  });

  it('is what loading its directory gives, with what it was trained with on its card', async () => {
    const output = mkdtempSync(join(tmpdir(), 'mallows-reward-'));
    const { model } = await trainReward({ ...short, output });
    const saved = await openModel(join(output, 'model'));
    saved.weights.close();
    expect(model.source).toEqual(saved.source);
    model.model.dispose();
    const card = readFileSync(join(output, 'model', 'README.md'), 'utf8');
    expect(card).toMatch(/\| optimizer \| adamw \|/);
    expect(card).toMatch(/\| learning rate \| 0\.001 \|/);
    rmSync(output, { recursive: true });
  });
});

describe('TextClassifier', () => {
  it('learns texts of two kinds, and is measured on those that are held out', async () => {
    const texts = (ids: readonly string[]) =>
      ids.flatMap((id) => [
        { id: `${id}+`, text: `${id} was happy and kind.`, label: 1 as const },
        { id: `${id}-`, text: `${id} was sad and mean.`, label: 0 as const },
      ]);
    const training = {
      model: STORIES,
      data: texts(['Tom', 'Mia']),
      steps: 20,
      learningRate: 1e-3,
      dtype: 'fp32',
    } as const;
    const { model, metrics } = await trainClassifier({ ...training, evalData: texts(['Sam']) });
    expect(metrics.at(-1)).toMatchObject({ eval_accuracy: 1 });
    const classifier = new TextClassifier(model);
    const [kind, mean] = await classifier.logOdds(['Sam was happy and kind.', 'Sam was sad and mean.']);
    expect(kind!).toBeGreaterThan(0);
    expect(mean!).toBeLessThan(0);

    await expect(classifier.logOdds(['Sam was sad.'], { signal: AbortSignal.abort('SIGINT') })).rejects.toBe(
      'SIGINT',
    );
    classifier.dispose();
    const unmeasured = await trainClassifier({ ...training, steps: 1 });
    expect(Object.keys(unmeasured.metrics.at(-1)!).filter((name) => name.startsWith('eval_'))).toEqual([]);
    unmeasured.model.model.dispose();
  });
});

/** A classifier of so many labels, in a directory. */
async function savedLabels(labels: number): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'mallows-labels-'));
  const { model, tokenizer, config } = await loadClassifier(STORIES, {
    labels,
    scoreGenerator: new Generator(1),
  });
  await saveDirectory(folder, {
    config: { ...config.raw, num_labels: labels },
    tokenizer: tokenizer.files,
    tensors: modelTensors(model),
    card: { name: 'labels' },
  });
  model.dispose();
  return folder;
}

describe('loading', () => {
  it.each([
    ['a reward model', 2, RewardModel, 'not-a-reward'],
    ['a classifier', 3, TextClassifier, 'no-positive-label'],
  ] as const)('%s refuses %d labels, and frees the model', async (_, labels, kind, code) => {
    const folder = await savedLabels(labels);
    const before = memory().liveTensors;
    await expect(kind.load(folder)).rejects.toMatchObject({ code });
    expect(memory().liveTensors).toBe(before);
    rmSync(folder, { recursive: true });
  });

  it('takes the most tokens that a reward model reads', async () => {
    const folder = await savedLabels(1);
    const prompt = 'Once upon a time there was a little girl named Lily who loved to play outside.';
    const answers = [{ id: '0', prompt, answer: ' She was happy.' }];
    const score = async (options: ScorerLoadOptions) => {
      const reward = await RewardModel.load(folder, options);
      return reward.score(answers).finally(() => reward.dispose());
    };
    expect(await score({})).toHaveLength(1);
    await expect(score({ maxLength: 12 })).rejects.toThrow(
      'the maximum length for prompt and completion is 12',
    );
    rmSync(folder, { recursive: true });
  });
});
