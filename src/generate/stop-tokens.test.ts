import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { tinyModel } from '../../tests/support/tiny-models.ts';
import { readModelConfig } from '../models/index.ts';
import type { JsonObject } from '../text/json.ts';
import { Tokenizer } from '../text/tokenizer.ts';
import { chatGenerationConfig, stopTokensFor } from './stop-tokens.ts';

const { cases } = JSON.parse(
  readFileSync(new URL('../text/fixtures/tokenizers.json', import.meta.url), 'utf8'),
) as { cases: { tokenizer: JsonObject }[] };
const CHATML =
  '{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}';

/** Qwen2.5's two sorts: the base ends texts with `<|endoftext|>` (0), the chat model with `<|im_end|>` (2). */
function tokenizerWith(eos: string): Tokenizer {
  return new Tokenizer({
    tokenizer: cases[0]!.tokenizer,
    config: { eos_token: eos },
    chatTemplate: CHATML,
  });
}
const chat = [{ role: 'user', content: 'Hi' }] as const;

describe('stopTokensFor', () => {
  it('adds the end of a turn for chats, once, and for nothing else', () => {
    const model = tinyModel('llama', 'float32', 1, { eos_token_id: 0 });
    const base = { model, tokenizer: tokenizerWith('<|endoftext|>') };
    expect(stopTokensFor(base, [chat])).toEqual([0, 2]);
    expect(stopTokensFor(base, ['Hi'])).toEqual([0]);
    expect(stopTokensFor(base, ['Hi', chat])).toEqual([0, 2]);
    model.dispose();
    const tuned = tinyModel('llama', 'float32', 1, { eos_token_id: [2, 0] });
    expect(stopTokensFor({ model: tuned, tokenizer: base.tokenizer }, [chat])).toEqual([2, 0]);
    tuned.dispose();
  });
});

describe('chatGenerationConfig', () => {
  const read = (eos: number | number[]) =>
    readModelConfig({
      model_type: 'llama',
      hidden_size: 8,
      intermediate_size: 8,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      vocab_size: 500,
      eos_token_id: eos,
    });

  it('says where turns end, after what it said before', () => {
    const tokenizer = tokenizerWith('<|endoftext|>');
    const generationConfig = { top_p: 0.8, eos_token_id: 0 };
    expect(chatGenerationConfig({ config: read(0), tokenizer, generationConfig })).toEqual({
      top_p: 0.8,
      eos_token_id: [0, 2],
    });
    expect(chatGenerationConfig({ config: read(0), tokenizer, generationConfig: {} })).toEqual({
      eos_token_id: [0, 2],
    });
  });

  it('stays as it is where the model stops there already', () => {
    const tokenizer = tokenizerWith('<|im_end|>');
    const generationConfig = { eos_token_id: 2 };
    for (const eos of [2, [0, 2]]) {
      expect(chatGenerationConfig({ config: read(eos), tokenizer, generationConfig })).toBe(generationConfig);
    }
  });
});
