import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import pLimit, { type LimitFunction } from 'p-limit';
import { z } from 'zod';
import { MallowsError } from '../../errors.ts';
import type { ResponseCache } from '../server/cache.ts';
import type { Judge, ShownPair, Verdict } from './contract.ts';

const reply = z.union([
  z.object({ id: z.string(), verdict: z.enum(['A', 'B', 'C']), text: z.string().optional() }),
  z.object({ id: z.string(), preference: z.number().min(0).max(1), text: z.string().optional() }),
]);
const OUTCOMES = { A: 'first', B: 'second', C: 'tie' } as const;

export interface CommandJudgeOptions {
  /** Pairs that the program may have before it at once. Default 8. */
  readonly concurrency?: number | undefined;
  /** Keeps replies under the command and what it was shown, ids aside: what it has is not asked again. */
  readonly cache?: ResponseCache | undefined;
  /** Milliseconds in which the program has to end once its input has. Default 5000; then it is told to. */
  readonly patience?: number;
}

interface Waiting {
  readonly resolve: (line: string) => void;
  readonly reject: (error: Error) => void;
}

/**
 * A program as judge. It reads one JSON object a line on stdin, `{id, prompt, first, second}`, and writes one a line on
 * stdout, in any order: `{id, verdict: "A"|"B"|"C"}` or `{id, preference}` (probability that the first is better), with
 * an optional `text`. A line that carries a known id and neither is an unparsable verdict.
 */
export class CommandJudge implements Judge {
  readonly name: string;
  readonly orderFree = false;
  readonly #command: string;
  readonly #cache: ResponseCache | undefined;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #limit: LimitFunction;
  readonly #patience: number;
  readonly #waiting = new Map<string, Waiting>();
  #stderr = '';
  #failure: Error | undefined;
  readonly #exited: Promise<void>;

  constructor(command: string, { concurrency = 8, cache, patience = 5_000 }: CommandJudgeOptions = {}) {
    this.#command = command;
    this.#cache = cache;
    this.#limit = pLimit(concurrency);
    this.#patience = patience;
    this.name = `cmd:${command}`;
    // A group of its own: Ctrl-C is for the process that asks, which lets the command answer and ends it.
    this.#child = spawn(command, { shell: true, stdio: 'pipe', detached: true });
    this.#child.stderr.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-2000);
    });
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#receive(line));
    // A command that has gone cannot read: its exit, not the broken pipe, says why.
    this.#child.stdin.on('error', () => {});
    this.#exited = new Promise((resolve) => {
      this.#child.on('error', (error) => this.#fail(`could not be started: ${error.message}`));
      this.#child.on('close', (code, signal) => {
        this.#fail(`ended (${signal ?? `exit code ${code}`}) before it answered everything`);
        resolve();
      });
    });
  }

  async compare(pair: ShownPair, signal?: AbortSignal): Promise<Verdict> {
    const { id: _, ...shown } = pair;
    const request = { command: this.#command, ...shown };
    const kept = this.#cache?.get(request) as string | undefined;
    if (kept !== undefined) return verdictOf(kept);
    return this.#limit(async () => {
      signal?.throwIfAborted();
      const line = await this.#ask(pair);
      this.#keep(request, line);
      return verdictOf(line);
    });
  }

  #ask(pair: ShownPair): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.#failure) {
        reject(this.#failure);
        return;
      }
      this.#waiting.set(pair.id, { resolve, reject });
      this.#child.stdin.write(`${JSON.stringify(pair)}\n`);
    });
  }

  /** A reply that cannot be kept is the last that is asked for. */
  #keep(request: object, line: string): void {
    try {
      this.#cache?.put(request, line);
    } catch (error) {
      this.#end(error as Error);
      throw error;
    }
  }

  /** Lets the command end by itself; one that does not when its input has ended is told to. */
  async close(): Promise<void> {
    this.#child.stdin.end();
    const impatient = setTimeout(() => this.#stop(), this.#patience);
    await this.#exited;
    clearTimeout(impatient);
  }

  #stop(): void {
    const { pid } = this.#child;
    try {
      if (pid !== undefined) process.kill(-pid, 'SIGTERM');
    } catch (error) {
      // It has just ended.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  #receive(line: string): void {
    if (line.trim() === '') return;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      this.#fail(`wrote a line that is not JSON: "${line.slice(0, 120)}"`);
      return;
    }
    const id = (value as { id?: unknown } | null)?.id;
    const waiting = typeof id === 'string' ? this.#waiting.get(id) : undefined;
    if (waiting === undefined) {
      this.#fail(`answered the id ${JSON.stringify(id)}, which was not asked or is answered already`);
      return;
    }
    this.#waiting.delete(id as string);
    waiting.resolve(line);
  }

  #fail(what: string): void {
    const wrote = this.#stderr.trim();
    this.#end(
      new MallowsError('judge-command-failed', `The judge command ${what}.`, {
        hint: wrote === '' ? 'It wrote nothing on stderr.' : `It wrote: ${wrote}`,
      }),
    );
  }

  #end(error: Error): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.values()) reject(this.#failure);
    this.#waiting.clear();
  }
}

function verdictOf(line: string): Verdict {
  const parsed = reply.safeParse(JSON.parse(line));
  if (!parsed.success) return { reason: 'unparsable', text: line };
  const { text = line } = parsed.data;
  if ('verdict' in parsed.data) return { outcome: OUTCOMES[parsed.data.verdict], text };
  const { preference } = parsed.data;
  const outcome = preference === 0.5 ? 'tie' : preference > 0.5 ? 'first' : 'second';
  return { outcome, preference, text };
}
