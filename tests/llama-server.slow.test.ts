/**
 * Judging and generating on a real OpenAI-compatible server: llama.cpp, serving GGUF files that this project exported.
 * Needs a Python with the package xllamacpp (MALLOWS_LLAMA_PYTHON); MALLOWS_LLAMA_MODEL names a further model to serve.
 */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { exportGguf, type LoadedModel, loadModel, modelTensors } from '../src/checkpoints/index.ts';
import { encodePrompt, type TextOrChat } from '../src/data/index.ts';
import { Generator, noGrad, ops, tidy } from '../src/engine/index.ts';
import {
  ChatJudge,
  ChatServer,
  generateOnServer,
  judgePairs,
  loadTemplate,
  summarizeVerdicts,
} from '../src/evaluate/index.ts';
import { generate } from '../src/generate/index.ts';
import { initialiseModel, readModelConfig } from '../src/models/index.ts';
import { llamaPython, startLlamaServer } from './support/llama-server.ts';
import { completionLogits } from './support/logits.ts';

const STORIES = fileURLToPath(new URL('./fixtures/models/stories260K/stories260K-f32.gguf', import.meta.url));
const python = llamaPython();
if (python === undefined)
  console.log('llama.cpp check skipped: no Python with xllamacpp (MALLOWS_LLAMA_PYTHON).');

const TOKENS = 32;
/** Two tokens as near as this may trade places between two programs. */
const NEAR = 1e-3;

interface Given {
  readonly name: string;
  open(): Promise<Pick<LoadedModel, 'model' | 'tokenizer' | 'config'>>;
  readonly context: number;
  readonly prompts: readonly TextOrChat[];
  /** Whether its tokens spell what a judge is asked for. */
  readonly judges: boolean;
}

const stories = { context: 512, prompts: ['Once upon a time', 'Tim and his dog', 'The little girl was'] };
const models: Given[] = [
  { name: 'stories260K', open: () => loadModel(STORIES, { dtype: 'float32' }), judges: true, ...stories },
];

/** Options with which llama.cpp and we have to agree; eight layers show every pattern of layers. */
const RANDOM = {
  qwen3: { model_type: 'qwen3', head_dim: 16 },
  smollm3: { model_type: 'smollm3', rope_theta: 5e5 },
  olmo2: { model_type: 'olmo2', rope_theta: 5e5 },
  granite: {
    model_type: 'granite',
    attention_multiplier: 0.2,
    embedding_multiplier: 3,
    residual_multiplier: 0.4,
    logits_scaling: 2,
  },
  gemma3: {
    model_type: 'gemma3_text',
    head_dim: 16,
    query_pre_attn_scalar: 16,
    sliding_window: 12,
    rope_scaling: { rope_type: 'linear', factor: 4 },
  },
  'gemma3, every third layer': {
    model_type: 'gemma3_text',
    head_dim: 16,
    query_pre_attn_scalar: 16,
    sliding_window: 7,
    sliding_window_pattern: 3,
  },
};
for (const [name, options] of Object.entries(RANDOM)) {
  const open = async () => {
    const { tokenizer, model: trained } = await loadModel(STORIES, { dtype: 'float32' });
    const config = readModelConfig({
      vocab_size: trained.config.vocabularySize,
      hidden_size: 64,
      intermediate_size: 96,
      num_hidden_layers: 8,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      max_position_embeddings: 512,
      bos_token_id: 1,
      eos_token_id: 2,
      rms_norm_eps: 1e-5,
      initializer_range: 0.15,
      ...options,
    });
    trained.dispose();
    const model = initialiseModel(config, new Generator(1), { dtype: 'float32', device: 'cpu' });
    // Single bytes are hardly ever chosen: two programs write text that is no UTF-8 in two ways.
    noGrad(() => tidy(() => ops.fill_(ops.narrow(model.head.weight.value, 0, 3, 256), 0)));
    return { model, tokenizer, config };
  };
  models.push({ name: `a random ${name}`, open, judges: false, ...stories });
}
if (process.env.MALLOWS_LLAMA_MODEL !== undefined) {
  const chat = (content: string): TextOrChat => [{ role: 'user', content }];
  const spec = process.env.MALLOWS_LLAMA_MODEL;
  models.push({
    name: spec,
    open: () => loadModel(spec, { dtype: 'float32' }),
    context: 1024,
    judges: true,
    prompts: [
      chat('What is the capital of France?'),
      chat('Write one sentence about the sea.'),
      'The year 1969 was',
    ],
  });
}

describe.skipIf(python === undefined).each(models)('llama.cpp serving our export of $name', (given) => {
  it('continues as we do, greedily in fp32, and judges where it can', async () => {
    const { model, tokenizer, config } = await given.open();
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
      console.log(`${given.name}: ${compared} greedy tokens equal over ${ours.length} prompts`);
      expect(compared).toBeGreaterThan(0);
      if (!given.judges) return;

      const judge = new ChatJudge(client, 'exported', loadTemplate('logprobs'));
      const pairs = [0, 1, 2].map((i) => ({ id: String(i), prompt: 'Say hi.', a: 'Hi.', b: `No ${i}.` }));
      const judged = await judgePairs(pairs, judge);
      const { n, refused, cutOff, unparsable } = summarizeVerdicts(judged, judge.name);
      // A model this small rarely answers m or M: what counts is that every pair is accounted for.
      expect([n + unparsable, refused, cutOff]).toEqual([pairs.length, 0, 0]);
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
