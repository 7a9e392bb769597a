import { type LoadedModel, loadModel } from '../../src/checkpoints/index.ts';
import type { ChatMessage } from '../../src/data/index.ts';
import { generate } from '../../src/generate/index.ts';
import { isJsonObject } from '../../src/text/json.ts';
import { Tokenizer } from '../../src/text/tokenizer.ts';
import { STORIES } from './stories.ts';

export const CHAT: readonly ChatMessage[] = [{ role: 'user', content: 'Once upon a time' }];

export interface ChatStories {
  /** Its template ends the assistant's turn with `end`; its EOS is another token. */
  readonly loaded: LoadedModel;
  readonly end: number;
  /** What it answers greedily to `CHAT` before it comes to `end`. */
  readonly answer: readonly number[];
}

/**
 * The stories model as a chat model like Qwen2.5's base: turns end with a special token that is not among its EOS tokens. It
 * was not trained so; a token that it happens to write early is made that token.
 */
export async function chatStories(): Promise<ChatStories> {
  const loaded = await loadModel(STORIES);
  const { files } = loaded.tokenizer;
  const prompt = loaded.tokenizer.encode(CHAT[0]!.content);
  const [completions] = await generate(loaded.model, [prompt], { greedy: true, maxNewTokens: 12 });
  const { tokens } = completions![0]!;
  const end = tokens[6]!;
  const content = loaded.tokenizer.tokenOf(end)!;
  const { added_tokens: added } = files.tokenizer;
  const tokenizer = new Tokenizer({
    ...files,
    tokenizer: {
      ...files.tokenizer,
      added_tokens: [
        ...(Array.isArray(added) ? added.filter(isJsonObject) : []),
        { id: end, content, special: true, normalized: false },
      ],
    },
    chatTemplate: `{{ bos_token }}{% for message in messages %}{{ message.content }}{% if message.role == 'assistant' %}${content}{% endif %}{% endfor %}`,
  });
  const answer = [...tokens.slice(0, tokens.indexOf(end))];
  return { loaded: { ...loaded, tokenizer }, end, answer };
}
