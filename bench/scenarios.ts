/** What is measured. Both sides of every scenario get the same model, rows, batches, lengths, loss and optimiser. */

export type Precision = 'fp32' | 'medium' | 'bf16';

export interface TrainScenario {
  readonly kind: 'train';
  readonly precision: Precision;
  /** Rank of the adapters; absent for full fine-tuning. */
  readonly lora?: number;
}

export interface ScoreScenario {
  readonly kind: 'score';
  readonly precision: Precision;
}

export interface GenerateScenario {
  readonly kind: 'generate';
  readonly precision: Precision;
}

/** Tokenising and packing as many pairs as `Settings.tokenizedPairs`. */
export interface TokenizeScenario {
  readonly kind: 'tokenize';
}

/** Memory that a loaded checkpoint takes, over the file's size. */
export interface LoadScenario {
  readonly kind: 'load';
}

/**
 * A step of the same layers and operators on a model a fraction as wide and on rows of a few tokens: what is left is
 * JavaScript, argument conversion and dispatch, an upper bound of their share in a real step.
 */
export interface OverheadScenario {
  readonly kind: 'overhead';
  readonly precision: Precision;
}

export type Scenario =
  | TrainScenario
  | ScoreScenario
  | GenerateScenario
  | TokenizeScenario
  | LoadScenario
  | OverheadScenario;

/** The named scenarios, in the order of the printed table. */
export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'train-fp32': { kind: 'train', precision: 'fp32' },
  'train-medium': { kind: 'train', precision: 'medium' },
  'train-bf16': { kind: 'train', precision: 'bf16' },
  'lora-fp32': { kind: 'train', precision: 'fp32', lora: 16 },
  'lora-bf16': { kind: 'train', precision: 'bf16', lora: 16 },
  'score-fp32': { kind: 'score', precision: 'fp32' },
  'score-bf16': { kind: 'score', precision: 'bf16' },
  'generate-fp32': { kind: 'generate', precision: 'fp32' },
  'generate-bf16': { kind: 'generate', precision: 'bf16' },
  'overhead-fp32': { kind: 'overhead', precision: 'fp32' },
  'overhead-bf16': { kind: 'overhead', precision: 'bf16' },
  tokenize: { kind: 'tokenize' },
  load: { kind: 'load' },
};

/** Settings that every scenario shares. */
export interface Settings {
  readonly steps: number;
  /** Steps at the start that are not counted. */
  readonly discard: number;
  readonly pairs: number;
  readonly maxLength: number;
  readonly prompts: number;
  readonly newTokens: number;
  readonly tokenizedPairs: number;
}

/** What one process of ours or of the peer's reports: one JSON line. */
export interface Measurement {
  readonly seconds: number;
  /** Pairs, generated tokens, steps, or loaded bytes, in those seconds. */
  readonly units: number;
  readonly peakBytes: number;
  /** Tokens that are not padding, counted once for each time they are needed, in those seconds. */
  readonly tokens?: number;
  readonly losses?: readonly number[];
  readonly referenceSeconds?: number;
  readonly referencePairs?: number;
  /** Useful floating-point operations in those seconds, and the machine's matmul peak, a second. */
  readonly usefulFlops?: number;
  readonly peakFlops?: number;
  /** Something both sides can be compared by: a mean log-probability, the generated tokens. */
  readonly check?: unknown;
}
