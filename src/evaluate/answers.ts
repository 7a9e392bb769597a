import type { ChatMessage, PromptExample, TextOrChat } from '../data/index.ts';
import { DataError } from '../errors.ts';
import type { AnswerPair } from './judge/pairwise.ts';
import { type EvaluationRow, readEvaluationRows } from './rows.ts';

/** A model's answers to one prompt; `prompt` where the file repeats it. */
export interface Answers {
  readonly id: string;
  readonly prompt?: TextOrChat;
  readonly texts: readonly string[];
}

const PROMPT_FIELDS = ['prompt', 'instruction', 'messages'];
const ANSWER_FIELDS = ['output', 'response', 'completion', 'answer', 'text'];

/**
 * Reads answers: what `mallows generate` writes (`{id, prompt, completions: [{text}]}`), or rows with one answer under
 * `output`, `response`, `completion`, `answer` or `text`. A missing id is the row's number, from 0.
 */
export async function readAnswers(path: string): Promise<Answers[]> {
  const rows = await readEvaluationRows(path);
  const answers = rows.map((row, i) => {
    const prompt = promptOf(row);
    return { id: idOf(row, i), texts: textsOf(row), ...(prompt !== undefined && { prompt }) };
  });
  requireUnique(path, answers);
  return answers;
}

/**
 * Puts two models' answers to the same prompts side by side, by id. Without `prompts` they are taken from the answers.
 * Several answers to a prompt are paired in their order. Throws `DataError` when a prompt lacks an answer: a comparison
 * over what both happen to have answered would be another comparison.
 */
export function pairAnswers(
  a: readonly Answers[],
  b: readonly Answers[],
  prompts?: readonly PromptExample[],
): AnswerPair[] {
  const fromB = new Map(b.map((answers) => [answers.id, answers]));
  const fromA = new Map(a.map((answers) => [answers.id, answers]));
  const wanted = prompts ?? a.map(({ id, prompt }) => ({ id, prompt: prompt ?? fromB.get(id)?.prompt }));
  return wanted.flatMap(({ id, prompt }) => {
    const [ofA, ofB] = [fromA.get(id)?.texts, fromB.get(id)?.texts];
    if (ofA === undefined || ofB === undefined) {
      throw new DataError(
        'missing-answer',
        `${ofA === undefined ? 'A' : 'B'} has no answer with id "${id}".`,
        {
          hint: 'Both files must answer the same prompts under the same ids.',
        },
      );
    }
    if (prompt === undefined) {
      throw new DataError('missing-prompt', `Neither file says what the prompt with id "${id}" is.`, {
        hint: 'Pass the prompts with --prompts.',
      });
    }
    if (ofA.length !== ofB.length) {
      throw new DataError(
        'unequal-answers',
        `Prompt "${id}" has ${ofA.length} answers of A and ${ofB.length} of B; expected as many of each.`,
      );
    }
    return ofA.map((text, i) => ({
      id: ofA.length === 1 ? id : `${id}#${i + 1}`,
      prompt,
      a: text,
      b: ofB[i]!,
    }));
  });
}

function idOf(row: EvaluationRow, position: number): string {
  const id = row.raw('id');
  if (id === undefined || id === null) return String(position);
  return typeof id === 'string' || typeof id === 'number' ? String(id) : row.fail('id', 'text or a number');
}

function promptOf(row: EvaluationRow): TextOrChat | undefined {
  const name = PROMPT_FIELDS.find((field) => row.has(field));
  if (name === undefined) return undefined;
  const value = row.raw(name);
  if (typeof value === 'string') return value;
  return Array.isArray(value) && value.length > 0 && value.every(isMessage)
    ? value
    : row.fail(name, 'text or chat messages {role, content}');
}

function textsOf(row: EvaluationRow): string[] {
  if (!row.has('completions')) {
    const name = ANSWER_FIELDS.find((field) => typeof row.raw(field) === 'string');
    return [row.text(name ?? 'completions')];
  }
  const completions = row.raw('completions');
  const texts = Array.isArray(completions)
    ? completions.map((completion: unknown) =>
        typeof completion === 'string' ? completion : (completion as { text?: unknown } | null)?.text,
      )
    : [];
  return texts.length > 0 && texts.every((text) => typeof text === 'string')
    ? (texts as string[])
    : row.fail('completions', 'a list of {text}');
}

function isMessage(value: unknown): value is ChatMessage {
  const { role, content } = (value ?? {}) as { role?: unknown; content?: unknown };
  return typeof role === 'string' && typeof content === 'string';
}

function requireUnique(path: string, rows: readonly { readonly id: string }[]): void {
  const seen = new Set<string>();
  for (const { id } of rows) {
    if (seen.has(id))
      throw new DataError('duplicate-id', `Two rows have the id "${id}".`, { at: { file: path } });
    seen.add(id);
  }
}
