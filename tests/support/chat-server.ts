import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What a fake server does with one request. */
export type Reply =
  | { readonly kind: 'answer'; readonly content: string; readonly delayMs?: number; readonly body?: object }
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly text?: string;
    }
  | { readonly kind: 'reset' }
  | { readonly kind: 'torn' }
  | { readonly kind: 'silent' };

export interface SeenRequest {
  readonly path: string;
  readonly body: { model: string; messages?: { role: string; content: string }[]; [key: string]: unknown };
  readonly headers: IncomingMessage['headers'];
  /** How often this very body was asked before. */
  readonly repeat: number;
}

/** An OpenAI-compatible server on loopback that misbehaves as it is told to. */
export async function startChatServer(reply: (request: SeenRequest) => Reply) {
  const seen = new Map<string, number>();
  const answered = new Map<string, number>();
  const counts = { requests: 0, answers: 0, inFlight: 0, mostInFlight: 0 };

  const server = createServer(async (request, response) => {
    counts.requests++;
    counts.mostInFlight = Math.max(counts.mostInFlight, ++counts.inFlight);
    response.on('close', () => counts.inFlight--);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const repeat = seen.get(text) ?? 0;
    seen.set(text, repeat + 1);
    const decided = reply({ path: request.url!, body: JSON.parse(text), headers: request.headers, repeat });
    await send(response, decided, () => {
      counts.answers++;
      answered.set(text, (answered.get(text) ?? 0) + 1);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    counts,
    /** How often each request was answered in full. */
    answered,
    close: () =>
      new Promise<void>((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

async function send(response: ServerResponse, reply: Reply, onAnswer: () => void): Promise<void> {
  if (reply.kind === 'silent') return;
  if (reply.kind === 'reset') {
    response.destroy();
    return;
  }
  if (reply.kind === 'status') {
    response.writeHead(reply.status, reply.headers).end(reply.text ?? 'no');
    return;
  }
  if (reply.kind === 'torn') {
    response.writeHead(200, { 'content-length': '1000' });
    response.write('{"choices":[{"mess', () => response.destroy());
    return;
  }
  if (reply.delayMs !== undefined) await new Promise((resolve) => setTimeout(resolve, reply.delayMs));
  onAnswer();
  const body = reply.body ?? {
    choices: [{ message: { role: 'assistant', content: reply.content }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 100, completion_tokens: 10 },
  };
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
