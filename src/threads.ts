import { Worker } from 'node:worker_threads';
import pLimit, { type LimitFunction } from 'p-limit';

export interface ThreadPoolOptions {
  /** What each thread is started with. */
  readonly workerData?: unknown;
  /** Questions that wait at each thread, for when nobody here has time to give it the next one. Default 1: the one it is at. */
  readonly ahead?: number;
}

/** Threads of one program, which answers every message with one message. Close it, or the process does not end. */
export class ThreadPool<Question, Answer> {
  readonly #threads: readonly Thread[];
  readonly #limit: LimitFunction;

  constructor(program: URL, threads: number, { workerData, ahead = 1 }: ThreadPoolOptions = {}) {
    this.#threads = Array.from({ length: threads }, () => new Thread(program, workerData));
    this.#limit = pLimit(threads * ahead);
  }

  /**
   * The answer of the least busy thread. Many may be asked at once and awaited in turn: a failure is heard when its turn comes.
   *
   * @param question called when there is room for it
   * @throws what ended the thread, or DOMException DataCloneError when the question cannot go to one
   */
  ask(question: () => Question): Promise<Answer> {
    const answer = this.#limit(() => {
      const [least] = [...this.#threads].sort((a, b) => a.asked - b.asked);
      return least!.ask(question()) as Promise<Answer>;
    });
    answer.catch(() => undefined);
    return answer;
  }

  /** Ends the threads, whatever they are at. */
  async close(): Promise<void> {
    this.#limit.clearQueue();
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }
}

class Thread {
  readonly #worker: Worker;
  readonly #open: { resolve(answer: unknown): void; reject(reason: unknown): void }[] = [];

  constructor(program: URL, workerData: unknown) {
    this.#worker = new Worker(program, { workerData });
    this.#worker.on('message', (answer) => this.#open.shift()?.resolve(answer));
    this.#worker.on('error', (reason) => {
      for (const { reject } of this.#open.splice(0)) reject(reason);
    });
  }

  /** Questions without an answer. */
  get asked(): number {
    return this.#open.length;
  }

  async ask(question: unknown): Promise<unknown> {
    this.#worker.postMessage(question);
    return new Promise((resolve, reject) => this.#open.push({ resolve, reject }));
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}
