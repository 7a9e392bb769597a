import { z } from 'zod';
import { RequestRefused } from './client.ts';

const usage = z.object({ prompt_tokens: z.number(), completion_tokens: z.number() }).partial().nullish();

const topLogprob = z.object({ token: z.string(), logprob: z.number() });

const chatResponse = z.object({
  choices: z
    .array(
      z.object({
        message: z.object({ content: z.string().nullish(), refusal: z.string().nullish() }),
        finish_reason: z.string().nullish(),
        logprobs: z
          .object({
            content: z
              .array(z.object({ token: z.string(), top_logprobs: z.array(topLogprob).nullish() }))
              .nullish(),
          })
          .nullish(),
      }),
    )
    .min(1),
  usage,
});

const textResponse = z.object({
  choices: z.array(z.object({ text: z.string().nullish(), finish_reason: z.string().nullish() })).min(1),
  usage,
});

/** How servers call an answer that is whole, some of them saying nothing, and one that its length limit has cut. */
const WHOLE: readonly string[] = ['', 'stop', 'eos', 'eos_token', 'stop_sequence'];
const CUT: readonly string[] = ['length', 'model_length'];

/** What is used of an OpenAI-compatible answer. */
export interface Completion {
  /** Empty where a model that reasons spent all it may write on that, with the finish `length`. */
  readonly text: string;
  readonly finish: 'stop' | 'length';
  readonly completionTokens?: number;
  /** Most likely first tokens with their log-probabilities, when asked for. */
  readonly firstTokens?: readonly { readonly token: string; readonly logprob: number }[];
}

/** Reads a response of `/chat/completions`; throws when it is none, and `RequestRefused` when it withholds the answer. */
export function chatCompletion(response: unknown): Completion {
  const { choices, usage: used } = chatResponse.parse(response);
  const [choice] = choices;
  const first = choice!.logprobs?.content?.[0]?.top_logprobs;
  return {
    ...given(choice!.message.content, choice!.finish_reason, choice!.message.refusal),
    ...(used?.completion_tokens !== undefined && { completionTokens: used.completion_tokens }),
    ...(first && { firstTokens: first }),
  };
}

/** Reads a response of `/completions`; throws when it is none, and `RequestRefused` when it withholds the answer. */
export function textCompletion(response: unknown): Completion {
  const { choices, usage: used } = textResponse.parse(response);
  const [choice] = choices;
  return {
    ...given(choice!.text, choice!.finish_reason),
    ...(used?.completion_tokens !== undefined && { completionTokens: used.completion_tokens }),
  };
}

/**
 * What a filter took out or broke off, or what a call of a tool stands for, is no answer of the model: taken for one, it would
 * be judged and trained on as an empty text.
 */
function given(
  text: string | null | undefined,
  reason: string | null | undefined,
  refusal?: string | null,
): Pick<Completion, 'text' | 'finish'> {
  const finish = reason ?? '';
  if (CUT.includes(finish)) return { text: text ?? '', finish: 'length' };
  if (WHOLE.includes(finish) && typeof text === 'string') return { text, finish: 'stop' };
  const why = finish === '' ? '' : ` (finish_reason ${finish})`;
  throw new RequestRefused(
    'answer-withheld',
    refusal ? `it refused: ${refusal}` : `it sent ${text ? 'a part of an answer' : 'no text'}${why}`,
  );
}
