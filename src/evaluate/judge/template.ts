import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { z } from 'zod';
import type { TextOrChat } from '../../data/contract.ts';
import { UsageError } from '../../errors.ts';
import type { ShownPair } from './contract.ts';

const BUILT_IN = fileURLToPath(new URL('../../../recipes/judges/', import.meta.url));

const common = {
  /** For people. */
  description: z.string().optional(),
  system: z.string().optional(),
  /** Holds `{{prompt}}`, `{{first}}` and `{{second}}`. */
  user: z.string(),
  /** Sent with the request as they are: temperature, max_tokens, … */
  parameters: z.record(z.string(), z.unknown()).default({}),
};

const schema = z.discriminatedUnion('style', [
  /** The judge writes an answer that ends in [[A]], [[B]] or [[C]]. */
  z.strictObject({ style: z.literal('verdict'), ...common }),
  /** The judge's first token is one of two labels; its log-probabilities are the preference. */
  z.strictObject({
    style: z.literal('logprobs'),
    ...common,
    labels: z.strictObject({ first: z.string().min(1), second: z.string().min(1) }),
  }),
]);

/** How a judge is asked: a YAML file that users may copy and edit. */
export type JudgeTemplate = z.infer<typeof schema> & { readonly name: string };

/** Loads a template by path, or by name from the project's `recipes/judges/`. */
export function loadTemplate(nameOrPath: string): JudgeTemplate {
  const isPath = /[/\\]|\.ya?ml$/.test(nameOrPath);
  const path = isPath ? nameOrPath : join(BUILT_IN, `${nameOrPath}.yaml`);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    const names = readdirSync(BUILT_IN).map((file) => basename(file, '.yaml'));
    throw new UsageError('unknown-template', `There is no judge template "${nameOrPath}".`, {
      cause,
      hint: `Use one of ${names.sort().join(', ')}, or the path of a YAML file.`,
    });
  }
  return parseTemplate(text, isPath ? basename(path).replace(/\.ya?ml$/, '') : nameOrPath);
}

export function parseTemplate(text: string, name: string): JudgeTemplate {
  let value: unknown;
  try {
    value = parse(text);
  } catch (cause) {
    throw new UsageError('bad-template', `Judge template ${name}: ${(cause as Error).message}`, { cause });
  }
  const result = schema.safeParse(value);
  if (!result.success) {
    throw new UsageError('bad-template', `Judge template ${name}:\n${z.prettifyError(result.error)}`);
  }
  const missing = ['prompt', 'first', 'second'].filter((field) => !result.data.user.includes(`{{${field}}}`));
  if (missing.length > 0) {
    throw new UsageError(
      'bad-template',
      `Judge template ${name}: "user" lacks ${missing.map((field) => `{{${field}}}`).join(', ')}.`,
    );
  }
  return { ...result.data, name };
}

/** The chat messages that ask about a pair. Answers are put in as they are: nothing in them is expanded again. */
export function renderTemplate(
  template: JudgeTemplate,
  pair: ShownPair,
): { role: string; content: string }[] {
  const fields: Record<string, string> = {
    prompt: promptText(pair.prompt),
    first: pair.first,
    second: pair.second,
  };
  const user = template.user.replaceAll(
    /\{\{(prompt|first|second)\}\}/g,
    (_, field: string) => fields[field]!,
  );
  return [
    ...(template.system === undefined ? [] : [{ role: 'system', content: template.system.trim() }]),
    { role: 'user', content: user.trim() },
  ];
}

/** A prompt as a judge reads it: one question as it is, a conversation turn by turn. */
export function promptText(prompt: TextOrChat): string {
  if (typeof prompt === 'string') return prompt;
  if (prompt.length === 1) return prompt[0]!.content;
  return prompt.map(({ role, content }) => `${role}: ${content}`).join('\n\n');
}
