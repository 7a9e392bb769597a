import { Environment, Interpreter, Template } from '@huggingface/jinja';
import { ModelError } from '../errors.ts';
import { STRING_FUNCTIONS, withPythonStrings } from './template-strings.ts';

/** Chat roles that templates know. */
export type ChatRole = 'system' | 'user' | 'assistant' | 'tool';

export interface ChatMessage {
  readonly role: ChatRole;
  readonly content: string;
}

/** How `tokenizer_config.json` may state templates: one source, or a list of named ones. */
export type ChatTemplateSource = string | readonly { readonly name: string; readonly template: string }[];

export interface RenderOptions {
  /** Ends the text where the assistant would begin to write. Default false. */
  readonly addGenerationPrompt?: boolean;
  /** Variables that templates read besides the messages: `bos_token`, `eos_token`, … */
  readonly variables?: Readonly<Record<string, unknown>>;
  /** What `strftime_now` takes for now. Default: the time of the call. */
  readonly now?: Date;
}

/** A chat template (Jinja, as `transformers` runs it), parsed once. */
export class ChatTemplate {
  readonly source: ChatTemplateSource;
  readonly #template: Template['parsed'];

  constructor(source: ChatTemplateSource) {
    this.source = source;
    const text = defaultTemplate(source);
    try {
      this.#template = withPythonStrings(new Template(text).parsed);
    } catch (cause) {
      throw new ModelError(
        'chat-template-syntax',
        `The chat template cannot be parsed: ${messageOf(cause)}.`,
        {
          hint: 'Correct chat_template.jinja (or chat_template in tokenizer_config.json).',
          cause,
        },
      );
    }
  }

  /** The text of a conversation. Throws `ModelError` with the template's own complaint when it refuses the messages. */
  render(messages: readonly ChatMessage[], options: RenderOptions = {}): string {
    const { addGenerationPrompt = false, variables = {}, now = new Date() } = options;
    try {
      const environment = new Environment();
      const globals = {
        ...BUILTINS,
        ...STRING_FUNCTIONS,
        ...variables,
        messages: messages.map(({ role, content }) => ({ role, content })),
        add_generation_prompt: addGenerationPrompt,
        strftime_now: (format: string) => strftime(now, format),
      };
      for (const [name, value] of Object.entries(globals)) environment.set(name, value);
      return String(new Interpreter(environment).run(this.#template).value);
    } catch (cause) {
      const roles = messages.map((message) => message.role).join(', ');
      const what =
        cause instanceof TemplateRefusal
          ? `The chat template refuses this conversation: ${cause.message}`
          : `The chat template failed: ${messageOf(cause)}`;
      throw new ModelError('chat-template-render', `${what} (roles: ${roles || 'none'}).`, {
        hint: 'Give roles in the order that the template expects, or leave the template out: read the data in the style text.',
        cause,
      });
    }
  }
}

/** Raised by a template through `raise_exception`. */
class TemplateRefusal extends Error {}

/**
 * What every template may name. Declared here, not by the library's `render`, because its `strftime_now` follows the
 * machine's locale and knows few directives: one template must give one text everywhere.
 */
const BUILTINS = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  range,
  raise_exception(reason: string): never {
    throw new TemplateRefusal(reason);
  },
};

/** Python's `range(stop)` and `range(start, stop, step)`. */
function range(first: number, stop?: number, step = 1): number[] {
  const [from, to] = stop === undefined ? [0, first] : [first, stop];
  if (step === 0) throw new Error('range() needs a step other than 0');
  const values: number[] = [];
  for (let value = from; step > 0 ? value < to : value > to; value += step) values.push(value);
  return values;
}

/** The template that renders conversations: the only one, or of several the one named "default". */
export function defaultTemplate(source: ChatTemplateSource): string {
  if (typeof source === 'string') return source;
  const found =
    source.find((entry) => entry.name === 'default') ?? (source.length === 1 ? source[0] : undefined);
  if (found !== undefined) return found.template;
  const names = source.map((entry) => entry.name).join(', ') || 'none';
  throw new ModelError('chat-template-missing', `None of the chat templates (${names}) is named "default".`, {
    hint: 'Name the template to use "default".',
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message.replace(/\.$/, '') : String(error);
}

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];

/** C's `strftime` for the directives that chat templates use; an unknown one is an error. */
function strftime(date: Date, format: string): string {
  const two = (value: number) => String(value).padStart(2, '0');
  return format.replace(/%(-?[A-Za-z%])/g, (_, directive: string) => {
    switch (directive) {
      case 'Y':
        return String(date.getFullYear());
      case 'y':
        return two(date.getFullYear() % 100);
      case 'm':
        return two(date.getMonth() + 1);
      case '-m':
        return String(date.getMonth() + 1);
      case 'd':
        return two(date.getDate());
      case '-d':
        return String(date.getDate());
      case 'H':
        return two(date.getHours());
      case 'I':
        return two(date.getHours() % 12 || 12);
      case 'M':
        return two(date.getMinutes());
      case 'S':
        return two(date.getSeconds());
      case 'p':
        return date.getHours() < 12 ? 'AM' : 'PM';
      case 'A':
        return DAYS[date.getDay()]!;
      case 'a':
        return DAYS[date.getDay()]!.slice(0, 3);
      case 'B':
        return MONTHS[date.getMonth()]!;
      case 'b':
        return MONTHS[date.getMonth()]!.slice(0, 3);
      case '%':
        return '%';
      default:
        throw new Error(`strftime_now knows no directive %${directive}`);
    }
  });
}
