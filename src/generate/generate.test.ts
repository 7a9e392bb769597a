import { expect, it } from 'vitest';
import { tinyModel } from '../../tests/support/tiny-models.ts';
import { memory } from '../engine/index.ts';
import { whileTraining } from '../models/in-use.ts';
import { generate } from './generate.ts';

it('tells once of answers that go on past the context, prompts beyond it left out', async () => {
  const model = tinyModel();
  const ids = (length: number) => Int32Array.from({ length }, (_, index) => 3 + (index % 40));
  const notices: string[] = [];
  const options = { notice: (message: string) => notices.push(message), stopTokenIds: [], seed: 1 };
  // 64 positions: three answers end at 69, three at 14; what the prompt of 70 is followed by is told of with the prompt.
  await generate(model, [ids(59), ids(70), ids(4)], { ...options, maxNewTokens: 10, samplesPerPrompt: 3 });
  expect(notices).toEqual([
    expect.stringMatching(/^1 of 3 prompts are longer than the 64 tokens/),
    expect.stringMatching(
      /^3 of 6 answers with their prompts are longer than the 64 tokens .*longest has 69\)/,
    ),
  ]);
  await generate(model, [ids(59)], { ...options, maxNewTokens: 5 });
  expect(notices).toHaveLength(2);
  model.dispose();
});

it('leaves no tensor behind where someone else trains the model', async () => {
  const model = tinyModel();
  const live = memory().liveTensors;
  let end = () => {};
  const training = whileTraining(model, () => new Promise<void>((resolve) => (end = resolve)));
  const answering = generate(model, [Int32Array.of(3, 4)], { maxNewTokens: 2 });
  await expect(answering).rejects.toMatchObject({ code: 'model-in-use' });
  expect(memory().liveTensors).toBe(live);
  end();
  await training;
  expect(await generate(model, [Int32Array.of(3, 4)], { maxNewTokens: 2 })).toHaveLength(1);
  model.dispose();
});
