import type { TextOrChat } from '../../data/contract.ts';
import type { ServerUsage } from '../server/client.ts';

/** Two answers to one prompt, in the order in which the judge is shown them. */
export interface ShownPair {
  /** Unique within a run: the pair's id and the order. */
  readonly id: string;
  readonly prompt: TextOrChat;
  readonly first: string;
  readonly second: string;
}

export type Outcome = 'first' | 'second' | 'tie';

/**
 * Why there is no verdict: the judge would not answer, its answer ended at its length limit before the verdict, or it has
 * none that can be read.
 */
export type NoVerdict = 'refused' | 'cut-off' | 'unparsable';

/** A judge's word on a pair. `outcome` is absent when it gave none: that is counted, never guessed. */
export interface Verdict {
  readonly outcome?: Outcome;
  /** Where there is no outcome. Default `unparsable`. */
  readonly reason?: NoVerdict;
  /** Probability that the first answer is better, from judges that give one. */
  readonly preference?: number;
  /** The judge's own words, or why there are none. */
  readonly text: string;
}

/** Anything that can compare two answers: a chat model, a reward model, a program. */
export interface Judge {
  readonly name: string;
  /** Whether the order shown cannot matter (a reward model scores each answer alone): one call a pair suffices. */
  readonly orderFree: boolean;
  /** Once `signal` fires nothing is begun; what was begun may end, so that its verdict is kept by a judge that keeps any. */
  compare(pair: ShownPair, signal?: AbortSignal): Promise<Verdict>;
  /** Requests and tokens, where the judge counts any. */
  usage?(): ServerUsage;
  close(): Promise<void>;
}
