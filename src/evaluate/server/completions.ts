import { z } from 'zod';

const usage = z.object({ prompt_tokens: z.number(), completion_tokens: z.number() }).partial().nullish();

const topLogprob = z.object({ token: z.string(), logprob: z.number() });

const chatResponse = z.object({
  choices: z
    .array(
      z.object({
        message: z.object({ content: z.string().nullish() }),
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
  choices: z.array(z.object({ text: z.string(), finish_reason: z.string().nullish() })).min(1),
  usage,
});

/** What is used of an OpenAI-compatible answer. */
export interface Completion {
  readonly text: string;
  /** The server's word: `stop`, `length`, …; empty when it says nothing. */
  readonly finish: string;
  readonly completionTokens?: number;
  /** Most likely first tokens with their log-probabilities, when asked for. */
  readonly firstTokens?: readonly { readonly token: string; readonly logprob: number }[];
}

/** Reads a response of `/chat/completions`; throws when it is none. */
export function chatCompletion(response: unknown): Completion {
  const { choices, usage: used } = chatResponse.parse(response);
  const [choice] = choices;
  const first = choice!.logprobs?.content?.[0]?.top_logprobs;
  return {
    text: choice!.message.content ?? '',
    finish: choice!.finish_reason ?? '',
    ...(used?.completion_tokens !== undefined && { completionTokens: used.completion_tokens }),
    ...(first && { firstTokens: first }),
  };
}

/** Reads a response of `/completions`; throws when it is none. */
export function textCompletion(response: unknown): Completion {
  const { choices, usage: used } = textResponse.parse(response);
  const [choice] = choices;
  return {
    text: choice!.text,
    finish: choice!.finish_reason ?? '',
    ...(used?.completion_tokens !== undefined && { completionTokens: used.completion_tokens }),
  };
}
