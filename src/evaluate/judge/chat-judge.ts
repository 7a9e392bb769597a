import { type ChatServer, RequestRefused } from '../server/client.ts';
import { type Completion, chatCompletion } from '../server/completions.ts';
import type { Judge, ShownPair, Verdict } from './contract.ts';
import { type JudgeTemplate, renderTemplate } from './template.ts';
import { parseLogprobs, parseVerdict } from './verdict.ts';

/** A chat model behind an OpenAI-compatible server, asked through a template. */
export class ChatJudge implements Judge {
  readonly name: string;
  readonly orderFree = false;
  readonly #server: ChatServer;
  readonly #model: string;
  readonly #template: JudgeTemplate;

  constructor(server: ChatServer, model: string, template: JudgeTemplate) {
    this.name = `${model} (${template.name})`;
    this.#server = server;
    this.#model = model;
    this.#template = template;
  }

  async compare(pair: ShownPair, signal?: AbortSignal): Promise<Verdict> {
    const template = this.#template;
    const body = {
      model: this.#model,
      messages: renderTemplate(template, pair),
      ...(template.style === 'logprobs' && { logprobs: true }),
      ...template.parameters,
    };
    let completion: Completion;
    try {
      completion = await this.#server.post('/chat/completions', body, chatCompletion, { signal });
    } catch (error) {
      if (error instanceof RequestRefused) return { reason: 'refused', text: error.message };
      throw error;
    }
    if (template.style === 'verdict') return verdictOf(completion);
    if (completion.firstTokens === undefined) {
      return { reason: 'unparsable', text: 'The server sent no log-probabilities of the first token.' };
    }
    return parseLogprobs(completion.firstTokens, template.labels);
  }

  usage() {
    return this.#server.usage;
  }

  async close(): Promise<void> {}
}

/** Where the answer ends at its length limit without a verdict, the verdict was still to come. */
function verdictOf({ text, finish }: Completion): Verdict {
  const verdict = parseVerdict(text);
  return verdict.outcome === undefined && finish === 'length' ? { reason: 'cut-off', text } : verdict;
}
