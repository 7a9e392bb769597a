import type { BadRow } from '../data/contract.ts';
import type { MetricsRecord, StepTiming } from '../runs/index.ts';

/** How much an update reads: `pairs` (or up to `tokens` tokens) at once, `accumulate` times. */
export interface BatchOptions {
  /** Pairs (sequences in SFT) of one pass through the network. Default 8, as in TRL. */
  readonly pairs?: number;
  /** Instead: as many as fit into this many tokens of a packed row. */
  readonly tokens?: number;
  /** Passes summed into one update. The loss is the mean over everything in the update. Default 1. */
  readonly accumulate?: number;
  /** Puts items of similar length together. Default false: nothing is padded, so little is gained. */
  readonly bucket?: boolean;
  /**
   * Keeps the pairs of one prompt together, so that the prompt goes through the network once for all of them. Default
   * false: such pairs resemble each other, which makes an update's gradient a little noisier for its size.
   */
  readonly groupPrompts?: boolean;
}

/** What a training run tells whoever watches it. Rendering is the watcher's business. */
export type TrainEvent =
  | { readonly type: 'phase'; readonly phase: TrainPhase }
  /** A decision worth a line: the dtype and why, memory, a damaged checkpoint that was passed over. */
  | {
      readonly type: 'note';
      readonly level: 'info' | 'warning';
      readonly code: string;
      readonly message: string;
    }
  | {
      readonly type: 'data';
      readonly split: 'train' | 'eval';
      readonly source: string;
      readonly format: string;
      /** Rows that are trained or evaluated on. */
      readonly usable: number;
      readonly badRows: readonly BadRow[];
      /** Completions that lost their tail to the maximum length, and the tokens lost. */
      readonly cut: { readonly examples: number; readonly tokens: number };
      /** Prompts whose last tokens changed when tokenised with the completion. */
      readonly moved: { readonly examples: number; readonly tokens: number };
    }
  | { readonly type: 'reference'; readonly done: number; readonly total: number }
  | {
      readonly type: 'step';
      readonly step: number;
      readonly totalSteps: number;
      readonly metrics: MetricsRecord;
      readonly timing: StepTiming;
    }
  | { readonly type: 'evaluation'; readonly step: number; readonly metrics: MetricsRecord }
  | { readonly type: 'checkpoint'; readonly step: number; readonly path: string }
  | { readonly type: 'resume'; readonly step: number; readonly path: string };

export type TrainPhase = 'load' | 'tokenize' | 'reference' | 'train' | 'save';

export type TrainObserver = (event: TrainEvent) => void;

/** How a run ended. */
export type TrainStatus = 'finished' | 'interrupted';
