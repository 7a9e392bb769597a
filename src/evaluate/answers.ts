import { type PromptExample, promptWriting, type TextOrChat } from '../data/index.ts';
import { excerpt } from '../data/text.ts';
import { DataError, type SourceLocation } from '../errors.ts';
import type { AnswerPair } from './judge/pairwise.ts';
import { promptText } from './judge/template.ts';
import { type EvaluationRow, readEvaluationRows } from './rows.ts';

/** A model's answers to one prompt; `prompt` where the file repeats it. */
export interface Answers {
  readonly id: string;
  readonly prompt?: TextOrChat;
  readonly texts: readonly string[];
  /** Where it was read, for errors. */
  readonly at?: SourceLocation;
}

const ANSWER_FIELDS = ['output', 'response', 'completion', 'answer', 'text'];

/**
 * Reads answers: what `mallows generate` writes (`{id, prompt, completions: [{text}]}`), or rows with one answer under
 * `output`, `response`, `completion`, `answer` or `text`, their prompts as prompts files have them. A missing id is the row's
 * number, from 0.
 */
export async function readAnswers(path: string): Promise<Answers[]> {
  const rows = await readEvaluationRows(path);
  const answers = rows.map((row, i) => {
    const prompt = row.prompt();
    return { id: idOf(row, i), texts: textsOf(row), at: row.at, ...(prompt !== undefined && { prompt }) };
  });
  requireUnique(path, answers);
  return answers;
}

/**
 * Puts two models' answers to the same prompts side by side, by id. Without `prompts` all are judged, and their prompts
 * taken from the answers. Several answers to a prompt are paired in their order. Throws `DataError` when a prompt lacks an
 * answer (a comparison over what both happen to have answered would be another comparison) and when different prompts are
 * stated under one id, by `prompts` or by either side.
 */
export function pairAnswers(
  a: readonly Answers[],
  b: readonly Answers[],
  prompts?: readonly PromptExample[],
): AnswerPair[] {
  const fromA = new Map(a.map((answers) => [answers.id, answers]));
  const fromB = new Map(b.map((answers) => [answers.id, answers]));
  const answered = [...a, ...b.filter(({ id }) => !fromA.has(id))];
  const wanted = prompts ?? answered.map(({ id }) => ({ id, prompt: undefined }));
  return wanted.flatMap(({ id, prompt: asked }) => {
    const [ofA, ofB] = [fromA.get(id), fromB.get(id)];
    if (ofA === undefined || ofB === undefined) {
      throw new DataError(
        'missing-answer',
        `${ofA === undefined ? 'A' : 'B'} has no answer with id "${id}".`,
        {
          hint: 'Both files must answer the same prompts under the same ids. To judge a part of them, name its prompts.',
        },
      );
    }
    const prompt = commonPrompt(id, [
      { prompt: asked, place: 'the prompts' },
      { prompt: ofA.prompt, place: placeOf(ofA, 'A') },
      { prompt: ofB.prompt, place: placeOf(ofB, 'B') },
    ]);
    if (prompt === undefined) {
      throw new DataError('prompt-not-stated', `Neither file says what the prompt with id "${id}" is.`, {
        hint: 'Pass the prompts as well.',
      });
    }
    if (ofA.texts.length !== ofB.texts.length) {
      throw new DataError(
        'unequal-answers',
        `Prompt "${id}" has ${ofA.texts.length} answers of A and ${ofB.texts.length} of B; expected as many of each.`,
      );
    }
    return ofA.texts.map((text, i) => ({
      id: ofA.texts.length === 1 ? id : `${id}#${i + 1}`,
      prompt,
      a: text,
      b: ofB.texts[i]!,
    }));
  });
}

interface StatedPrompt {
  readonly prompt: TextOrChat | undefined;
  readonly place: string;
}

/** The prompt that the first to state it states, and all others too: equal ids prove little, because rows without one are numbered. */
function commonPrompt(id: string, places: readonly StatedPrompt[]): TextOrChat | undefined {
  const [first, ...others] = places.flatMap(({ prompt, place }) =>
    prompt === undefined ? [] : [{ prompt, place }],
  );
  if (first === undefined) return undefined;
  for (const other of others) {
    if (promptWriting(other.prompt) === promptWriting(first.prompt)) continue;
    const [text, otherText] = [promptText(first.prompt), promptText(other.prompt)];
    throw new DataError(
      'prompts-differ',
      `The prompt with id "${id}" is ${partFrom(otherText, text)} in ${first.place} and ${partFrom(text, otherText)} in ${other.place}.`,
      {
        hint: 'All files must state the same prompts under the same ids. Rows without an id are numbered, so that a part of a file needs ids of its own.',
      },
    );
  }
  return first.prompt;
}

/** A text, shortened to where it parts from another. */
function partFrom(other: string, text: string): string {
  let shared = 0;
  while (shared < text.length && text[shared] === other[shared]) shared++;
  const start = shared > 60 ? shared - 20 : 0;
  return `"${start > 0 ? '…' : ''}${excerpt(text.slice(start), 80)}"`;
}

function placeOf({ at }: Answers, side: 'A' | 'B'): string {
  return at === undefined ? side : `${at.file}:${at.line}`;
}

function idOf(row: EvaluationRow, position: number): string {
  const id = row.raw('id');
  if (id === undefined || id === null) return String(position);
  return typeof id === 'string' || typeof id === 'number' ? String(id) : row.fail('id', 'text or a number');
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

function requireUnique(path: string, rows: readonly { readonly id: string }[]): void {
  const seen = new Set<string>();
  for (const { id } of rows) {
    if (seen.has(id))
      throw new DataError('duplicate-id', `Two rows have the id "${id}".`, { at: { file: path } });
    seen.add(id);
  }
}
