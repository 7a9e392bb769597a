/**
 * Judging and generating on a real OpenAI-compatible server: llama.cpp, serving GGUF files that this project exported.
 * Needs a Python with the package xllamacpp (MALLOWS_LLAMA_PYTHON); MALLOWS_LLAMA_MODEL names a further model to serve.
 */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { exportGguf, loadModel, modelTensors } from '../src/checkpoints/index.ts';
import { encodePrompt, type TextOrChat } from '../src/data/index.ts';
import { noGrad, ops, tidy } from '../src/engine/index.ts';
import {
  ChatJudge,
  ChatServer,
  generateOnServer,
  judgePairs,
  loadTemplate,
  summarise,
} from '../src/evaluate/index.ts';
import { generate } from '../src/generate/index.ts';
import { llamaPython, startLlamaServer } from './support/llama-server.ts';
import { completionLogits } from './support/logits.ts';

const STORIES = fileURLToPath(new URL('./fixtures/models/stories260K/stories260K-f32.gguf', import.meta.url));
const python = llamaPython();
if (python === undefined)
  console.log('llama.cpp check skipped: no Python with xllamacpp (MALLOWS_LLAMA_PYTHON).');

const TOKENS = 32;
/** Two tokens as near as this may trade places between two programs. */
const NEAR = 1e-3;

const models: { spec: string; context: number; chat: boolean; prompts: readonly TextOrChat[] }[] = [
  {
    spec: STORIES,
    context: 512,
    chat: false,
    prompts: ['Once upon a time', 'Tim and his dog', 'The little girl was', 'One day, a bird'],
  },
];
if (process.env.MALLOWS_LLAMA_MODEL !== undefined) {
  const chat = (content: string): TextOrChat => [{ role: 'user', content }];
  models.push({
    spec: process.env.MALLOWS_LLAMA_MODEL,
    context: 1024,
    chat: true,
    prompts: [
      chat('What is the capital of France?'),
      chat('Write one sentence about the sea.'),
      'The year 1969 was',
    ],
  });
}

describe.skipIf(python === undefined).each(models)('llama.cpp serving our export of $spec', (given) => {
  it('continues as we do, greedily in fp32, and judges', async () => {
    const loaded = await loadModel(given.spec, { dtype: 'float32' });
    const { model, tokenizer, config } = loaded;
    const path = join(mkdtempSync(join(tmpdir(), 'mallows-llama-')), 'exported.gguf');
    await exportGguf(path, {
      config: config.raw,
      tensors: modelTensors(model),
      tokenizer,
      type: 'F32',
      name: 'exported',
    });
    const server = await startLlamaServer(python!, path, given.context);
    try {
      const client = new ChatServer({ url: server.url, concurrency: 1, timeoutMs: 300_000, retries: 1 });
      const prompts = given.prompts.map((prompt, i) => ({ id: String(i), prompt }));
      const theirs = await generateOnServer(client, prompts, {
        model: 'exported',
        chat: false,
        maxNewTokens: TOKENS,
        greedy: true,
      });
      const encoded = prompts.map(({ prompt }) => encodePrompt(prompt, tokenizer));
      const ours = await generate(model, encoded, { maxNewTokens: TOKENS, greedy: true });
      let compared = 0;
      for (const [i, [completion]] of ours.entries()) {
        const text = tokenizer.decode(completion!.tokens, { skipSpecialTokens: true });
        const server = theirs[i]!.completions[0]!.text;
        if (text.trim() === server.trim()) {
          compared += completion!.tokens.length;
          continue;
        }
        // Allowed only where the first token that differs was a near tie.
        const gaps = topTwoGaps(model, encoded[i]!, completion!.tokens);
        const place = completion!.tokens.findIndex((_, k) => {
          const upTo = tokenizer.decode(completion!.tokens.slice(0, k + 1), { skipSpecialTokens: true });
          return !server.trim().startsWith(upTo.trim());
        });
        expect(gaps[place], `prompt ${i}: "${text}" against "${server}"`).toBeLessThan(NEAR);
        compared += place;
      }
      console.log(`${given.spec}: ${compared} greedy tokens equal over ${ours.length} prompts`);
      expect(compared).toBeGreaterThan(0);

      const judge = new ChatJudge(client, 'exported', loadTemplate('logprobs'));
      const pairs = [0, 1, 2].map((i) => ({ id: String(i), prompt: 'Say hi.', a: 'Hi.', b: `No ${i}.` }));
      const judged = await judgePairs(pairs, judge);
      const { n, unparsable } = summarise(judged, judge.name);
      // A model this small rarely answers m or M: what counts is that every pair is accounted for.
      expect(n + unparsable).toBe(pairs.length);
      for (const { verdicts } of judged) {
        expect(verdicts).toHaveLength(2);
        for (const { text } of verdicts) expect(text).toMatch(/-?\d+\.\d{3}/);
      }
    } finally {
      await server.stop();
      model.dispose();
    }
  });
});

function topTwoGaps(
  model: Parameters<typeof completionLogits>[0],
  prompt: Int32Array,
  completion: Int32Array,
): number[] {
  return tidy(() =>
    noGrad(() => {
      const [values] = ops.topk(completionLogits(model, prompt, completion), 2);
      const flat = values.toFloat64();
      return Array.from(completion, (_, k) => flat[2 * k]! - flat[2 * k + 1]!);
    }),
  );
}
