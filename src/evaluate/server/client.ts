import { setMaxListeners } from 'node:events';
import pLimit, { type LimitFunction } from 'p-limit';
import { MallowsError, UsageError } from '../../errors.ts';
import type { ResponseCache } from './cache.ts';
import { retryAfter, TransientFailure, withRetries } from './retry.ts';

export interface ServerOptions {
  /** Base address with its version, e.g. `http://127.0.0.1:8080/v1`. A query goes with every request, and into no message. */
  readonly url: string;
  /** Sent as `Authorization: Bearer …` to this address and nowhere else: redirects are refused. */
  readonly apiKey?: string | undefined;
  /** Requests in flight at once. Default 8. */
  readonly concurrency?: number;
  /** Until a response is complete, in milliseconds; at most 300,000 (Node's own limit). Default 120,000. */
  readonly timeoutMs?: number;
  /** Attempts after the first. Default 8. */
  readonly retries?: number;
  /** Upper bound of the first wait between attempts; it doubles up to a minute. Default 500. */
  readonly firstDelayMs?: number;
  /** A wait that a server asks for beyond this is an error, not a wait. Default five minutes. */
  readonly longestWaitMs?: number;
  readonly cache?: ResponseCache | undefined;
  readonly onRetry?: (reason: string, attempt: number, delayMs: number) => void;
}

export interface TokenCount {
  readonly promptTokens: number;
  readonly completionTokens: number;
}

/** What was asked and used by this process, as the server counts. */
export interface ServerUsage extends TokenCount {
  /** HTTP requests sent, failed ones included. */
  readonly requests: number;
  readonly retries: number;
  /** Answers that the cache had, and the tokens that they cost when they were paid for. */
  readonly cached: { readonly answers: number } & TokenCount;
}

export type JsonBody = Readonly<Record<string, unknown>>;

/** What an answer is kept under. */
interface RequestIdentity {
  readonly url: string;
  readonly path: string;
  readonly body: JsonBody;
  readonly sample: number;
}

export interface PostOptions {
  /** Tells apart requests that are equal on purpose. Default 0. */
  readonly sample?: number;
  /** Once it fires the request is not sent, nor sent again; one that was sent is waited for, and its answer kept. */
  readonly signal?: AbortSignal | undefined;
}

const RETRIED_STATUS = new Set([408, 409, 425, 429, 500, 502, 503, 504, 529]);

/** Statuses that speak of this one request (too long, filtered), not of the account or the server. */
const REFUSED_STATUS = new Set([400, 413, 422]);

/** Failure to get an answer from a server. The message never holds the API key. */
export class ServerError extends MallowsError {}

/** The server will not answer this request, and may well answer others. */
export class RequestRefused extends ServerError {}

/**
 * A client of OpenAI-compatible servers (OpenAI, vLLM, llama.cpp, Ollama). On plain `fetch`: what an evaluation needs
 * beyond it (a cache that makes a resumed run free, waits that a test can see, a key that cannot leak) is here in a
 * page, where the vendor's package would add 20 MB and still leave it to write.
 */
export class ChatServer {
  /** The server's address without its query, which may hold a key. */
  readonly url: string;
  readonly #query: string;
  readonly #key: string | undefined;
  readonly #secrets: readonly Secret[];
  readonly #options: ServerOptions;
  readonly #limit: LimitFunction;
  readonly #pending = new Map<string, Promise<unknown>>();
  #requests = 0;
  #retries = 0;
  #cachedAnswers = 0;
  /** Aborted by what ended the run, which is its reason: nothing is sent or waited for after it. */
  readonly #ended = new AbortController();
  /** Attempts that were begun; waiting for another one is none. */
  readonly #underWay = new Set<Promise<unknown>>();
  /** Why an answer could not be kept. */
  #notKept: unknown;
  readonly #paid = new TokenMeter();
  readonly #cached = new TokenMeter();

  constructor(options: ServerOptions) {
    const address = checkedUrl(options.url);
    this.url = shownAddress(address);
    this.#query = address.search;
    this.#key = options.apiKey === '' ? undefined : options.apiKey;
    this.#secrets = secretsOf(this.#key, address.search);
    const { apiKey: _, ...rest } = options;
    this.#options = rest;
    // Each request that waits listens, and Node takes more than ten for a leak.
    setMaxListeners(0, this.#ended.signal);
    const timeoutMs = options.timeoutMs ?? 120_000;
    if (!(timeoutMs > 0 && timeoutMs <= 300_000)) {
      throw new UsageError(
        'bad-timeout',
        `The time-out is ${timeoutMs} ms; expected more than 0, at most 300,000.`,
      );
    }
    const concurrency = options.concurrency ?? 8;
    if (!(Number.isInteger(concurrency) && concurrency > 0)) {
      throw new UsageError(
        'bad-concurrency',
        `Concurrency is ${concurrency}; expected a whole number above 0.`,
      );
    }
    this.#limit = pLimit(concurrency);
  }

  get usage(): ServerUsage {
    return {
      requests: this.#requests,
      retries: this.#retries,
      ...this.#paid.count,
      cached: { answers: this.#cachedAnswers, ...this.#cached.count },
    };
  }

  /**
   * Posts `body` to `path` (`/chat/completions`) and returns the parsed response. Answers come from the cache where it
   * has them; equal requests in flight share one answer. `check` rejects a response that lacks what the caller needs, as
   * a damaged one, or with `RequestRefused` as one that no other attempt would better; that is not kept.
   */
  async post<T>(
    path: string,
    body: JsonBody,
    check: (response: unknown) => T,
    { sample = 0, signal }: PostOptions = {},
  ): Promise<T> {
    const identity = { url: this.url + this.#query, path, body, sample };
    const stored = this.#options.cache?.get(identity);
    if (stored !== undefined) {
      this.#cachedAnswers++;
      this.#cached.add(stored);
      return check(stored);
    }
    const key = JSON.stringify(identity);
    let response = this.#pending.get(key);
    if (response === undefined) {
      response = this.#limit(() => {
        signal?.throwIfAborted();
        return this.#fetchAndKeep(identity, check, signal);
      }).finally(() => this.#pending.delete(key));
      this.#pending.set(key, response);
    }
    return check(await response);
  }

  /** Any failure but the refusal of this one request ends the run: an answer that cannot be kept does too. */
  async #fetchAndKeep(
    identity: RequestIdentity,
    check: (response: unknown) => unknown,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    const { retries = 8, firstDelayMs = 500 } = this.#options;
    const ended = this.#ended.signal;
    try {
      return await withRetries(() => this.#attempt(identity, check), {
        retries,
        firstDelayMs,
        maxDelayMs: 60_000,
        signal: signal === undefined ? ended : AbortSignal.any([ended, signal]),
        onRetry: (failure, attempt, delay) => {
          this.#retries++;
          this.#options.onRetry?.(failure.message, attempt, delay);
        },
      });
    } catch (error) {
      if (error instanceof RequestRefused) throw error;
      // One request that is called off does not end the run.
      if (!(signal?.aborted === true && error === signal.reason)) {
        this.#ended.abort(
          error instanceof TransientFailure
            ? new ServerError('server-unavailable', `${error.message} (after ${retries + 1} attempts)`, {
                hint: 'Run again when the server answers: what the cache has is not asked again.',
              })
            : error,
        );
      }
      // An answer that could not be kept is worse news than a call to stop, so that all wait for it.
      await Promise.allSettled(this.#underWay);
      throw this.#notKept ?? (ended.aborted ? ended.reason : error);
    }
  }

  #attempt(identity: RequestIdentity, check: (response: unknown) => unknown): Promise<unknown> {
    const attempt = this.#fetchOnce(identity.path, identity.body, check).then((answer) => {
      this.#keep(identity, answer);
      return answer;
    });
    this.#underWay.add(attempt);
    return attempt.finally(() => this.#underWay.delete(attempt));
  }

  #keep(identity: RequestIdentity, answer: unknown): void {
    try {
      this.#options.cache?.put(identity, answer);
    } catch (error) {
      this.#notKept ??= error;
      throw error;
    }
  }

  async #fetchOnce(path: string, body: JsonBody, check: (response: unknown) => unknown): Promise<unknown> {
    const { timeoutMs = 120_000 } = this.#options;
    const timeout = AbortSignal.timeout(timeoutMs);
    let status: number;
    let headers: Headers;
    let text: string;
    try {
      this.#requests++;
      const response = await fetch(this.url + path + this.#query, {
        method: 'POST',
        redirect: 'error',
        headers: {
          'content-type': 'application/json',
          ...(this.#key !== undefined && { authorization: `Bearer ${this.#key}` }),
        },
        body: JSON.stringify(body),
        signal: timeout,
      });
      ({ status, headers } = response);
      text = await response.text();
    } catch (error) {
      if (timeout.aborted)
        throw new TransientFailure(`${this.url} gave no answer within ${timeoutMs / 1000} s`);
      throw new TransientFailure(`No connection to ${this.url}: ${this.#scrub(reasonOf(error))}`);
    }
    if (status !== 200) throw this.#refusal(status, headers, text);
    return this.#parsed(text, check);
  }

  #parsed(text: string, check: (response: unknown) => unknown): unknown {
    let response: unknown;
    try {
      response = JSON.parse(text);
      check(response);
    } catch (error) {
      // Not kept, as it may be had another time; but paid for.
      if (error instanceof RequestRefused) {
        this.#paid.add(response);
        throw new RequestRefused(error.code, this.#scrub(error.message).slice(0, 300));
      }
      const sent = this.#scrub(text).slice(0, 120);
      throw new TransientFailure(`${this.url} sent something that is no completion: "${sent}"`);
    }
    this.#paid.add(response);
    return response;
  }

  #refusal(status: number, headers: Headers, text: string): Error {
    const message = `${this.url} answered ${status}: ${this.#scrub(text).slice(0, 300)}`;
    const wait = retryAfter(headers);
    const longest = this.#options.longestWaitMs ?? 300_000;
    if (wait !== undefined && wait > longest) {
      return new ServerError('server-busy', `${message} and asks to wait ${Math.ceil(wait / 1000)} s.`, {
        hint: 'Run again later: what the cache has is not asked again.',
      });
    }
    // An exhausted account also answers 429, but no wait cures it.
    if (RETRIED_STATUS.has(status) && !text.includes('insufficient_quota')) {
      return new TransientFailure(message, { retryAfterMs: wait });
    }
    if (REFUSED_STATUS.has(status)) return new RequestRefused('request-refused', message);
    if (status === 401 || status === 403) {
      return new ServerError('api-key-refused', message, { hint: 'Give the API key of this server.' });
    }
    return new ServerError('server-refused', message, {
      ...(status === 404 && { hint: 'Check the address (it usually ends in /v1) and the model’s name.' }),
    });
  }

  /** Servers echo keys in error texts, which go into logs and reports. Answers are never touched. */
  #scrub(text: string): string {
    return this.#secrets.reduce((rest, { text: secret, name }) => rest.replaceAll(secret, `[${name}]`), text);
  }
}

class TokenMeter {
  count: TokenCount = { promptTokens: 0, completionTokens: 0 };

  add(response: unknown): void {
    const usage = (response as { usage?: { prompt_tokens?: number; completion_tokens?: number } }).usage;
    this.count = {
      promptTokens: this.count.promptTokens + (usage?.prompt_tokens ?? 0),
      completionTokens: this.count.completionTokens + (usage?.completion_tokens ?? 0),
    };
  }
}

/** The key in the named environment variable, if it is set and not empty. */
export function apiKeyFromEnvironment(variable = 'OPENAI_API_KEY'): string | undefined {
  return process.env[variable]?.trim() || undefined;
}

/** A server's address as it may be shown: without its query, which may hold a key. Throws `UsageError` if it is none. */
export function serverAddress(url: string): string {
  return shownAddress(checkedUrl(url));
}

function shownAddress(address: URL): string {
  return address.origin + address.pathname.replace(/\/+$/, '');
}

function checkedUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new UsageError(
      'bad-url',
      `"${text.split(/[?#]/)[0]}" is not an address; expected something like http://127.0.0.1:8080/v1.`,
    );
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new UsageError('bad-url', `The address ${url.protocol}//${url.host} is neither http nor https.`);
  }
  if (url.username !== '' || url.password !== '') {
    throw new UsageError(
      'secret-in-url',
      'The address holds a user name or password, which would reach logs.',
      {
        hint: 'Pass the key in the environment (OPENAI_API_KEY).',
      },
    );
  }
  if (url.hash !== '') {
    throw new UsageError(
      'bad-url',
      `The address ${shownAddress(url)} has a fragment (#…), which is never sent.`,
      {
        hint: 'Leave out the # and what follows it; write a # inside a query as %23.',
      },
    );
  }
  return url;
}

/** Text that error messages must not show, and what it is called there instead. */
interface Secret {
  readonly text: string;
  readonly name: string;
}

/** Local servers are given keys such as `EMPTY`, which are no secrets but words. */
const SHORTEST_SECRET = 16;

/** The longest first, so that none is left in parts by another that it holds. */
function secretsOf(key: string | undefined, query: string): Secret[] {
  const held = [
    { text: key ?? '', name: 'API key' },
    { text: query.slice(1), name: 'query' },
    ...query.slice(1).split('&').flatMap(valuesOf),
  ].filter(({ text }) => text.length >= SHORTEST_SECRET);
  const whole = query === '' ? [] : [{ text: query, name: 'query' }];
  return [...whole, ...held].sort((a, b) => b.text.length - a.text.length);
}

/** A parameter's value as it is sent, and as servers may read it: with and without a plus sign for a space. */
function valuesOf(parameter: string): Secret[] {
  const at = parameter.indexOf('=');
  const [name, sent] = [parameter.slice(0, Math.max(0, at)), parameter.slice(at + 1)];
  const decoded = (text: string) => new URLSearchParams(`value=${text}`).get('value')!;
  return [sent, decoded(sent), decoded(sent.replaceAll('+', '%2B'))].map((text) => ({
    text,
    name: name === '' ? 'query' : name,
  }));
}

/** fetch wraps the system's error: the inner one says what happened. */
function reasonOf(error: unknown): string {
  const inner = (error as { cause?: { code?: string; message?: string } }).cause;
  return inner?.code ?? (inner?.message || (error as Error).message);
}
