/** What is measured. Both sides of every scenario get the same model, rows, batches, lengths, loss and optimiser. */

export type Precision = 'fp32' | 'medium' | 'bf16';

/** `hh`: short dialogues; `long`: long completions and short prompts; `shared`: several pairs of each prompt. */
export type DataSet = 'hh' | 'long' | 'shared';

interface Described {
  /** What `--list` says. */
  readonly about: string;
}

export interface TrainScenario extends Described {
  readonly kind: 'train';
  readonly precision: Precision;
  readonly data: 'hh' | 'long';
  /** Rank of the adapters; absent for full fine-tuning. */
  readonly lora?: number;
}

/** The same pairs for an epoch, shuffled freely and kept together by prompt. */
export interface GroupedScenario extends Described {
  readonly kind: 'grouped';
  readonly precision: Precision;
}

export interface ScoreScenario extends Described {
  readonly kind: 'score';
  readonly precision: Precision;
}

export interface GenerateScenario extends Described {
  readonly kind: 'generate';
  readonly precision: Precision;
}

/** Tokenising and packing as many pairs as `Settings.tokenizedPairs`, and how long a run's first work waits for it. */
export interface TokenizeScenario extends Described {
  readonly kind: 'tokenize';
}

/** Memory that a loaded checkpoint takes, over the file's size. */
export interface LoadScenario extends Described {
  readonly kind: 'load';
}

/**
 * A step of the same layers and operators on a model a fraction as wide and on rows of a few tokens: what is left is
 * JavaScript, argument conversion and dispatch, an upper bound of their share in a real step.
 */
export interface OverheadScenario extends Described {
  readonly kind: 'overhead';
  readonly precision: Precision;
}

export type Scenario =
  | TrainScenario
  | GroupedScenario
  | ScoreScenario
  | GenerateScenario
  | TokenizeScenario
  | LoadScenario
  | OverheadScenario;

const train = (precision: Precision, about: string, more: Partial<TrainScenario> = {}): TrainScenario => ({
  kind: 'train',
  data: 'hh',
  precision,
  about,
  ...more,
});

/** The named scenarios, in the order of the printed table. */
export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'train-fp32': train('fp32', 'full fine-tuning, IEEE fp32'),
  'train-medium': train('medium', 'full fine-tuning, fp32 with "medium" matrix products on both sides'),
  'train-bf16': train('bf16', 'full fine-tuning, bf16 with fp32 masters; TRL with bf16 autocast'),
  'lora-fp32': train('fp32', 'LoRA of rank 16, fp32', { lora: 16 }),
  'lora-bf16': train('bf16', 'LoRA of rank 16, bf16 base and fp32 adapters on both sides', { lora: 16 }),
  'long-fp32': train('fp32', 'full fine-tuning, long completions, little shared prompt', { data: 'long' }),
  'long-bf16': train('bf16', 'the same, bf16 with fp32 masters', { data: 'long' }),
  'grouped-fp32': { kind: 'grouped', precision: 'fp32', about: 'pairs of one prompt kept together, or not' },
  'grouped-bf16': { kind: 'grouped', precision: 'bf16', about: 'the same, bf16' },
  'score-fp32': {
    kind: 'score',
    precision: 'fp32',
    about: 'log-probabilities and entropies; transformers sorted by length, by 8',
  },
  'score-bf16': { kind: 'score', precision: 'bf16', about: 'the same, bf16' },
  'generate-fp32': { kind: 'generate', precision: 'fp32', about: 'greedy, 16 prompts × 64 tokens' },
  'generate-bf16': { kind: 'generate', precision: 'bf16', about: 'the same, bf16' },
  'overhead-fp32': {
    kind: 'overhead',
    precision: 'fp32',
    about: 'share of a step that is JavaScript, arguments, dispatch',
  },
  'overhead-bf16': { kind: 'overhead', precision: 'bf16', about: 'the same, bf16' },
  tokenize: {
    kind: 'tokenize',
    about: 'tokenising and packing 10,000 different pairs; what waits for it',
  },
  load: { kind: 'load', about: 'memory of a loaded safetensors checkpoint over the size of its file' },
};

/** What the table says of a scenario; figures of a kind that a scenario does not have are absent. */
export const MEASURES = {
  rate: { label: 'ours', unit: '' },
  tokens: { label: 'tokens without padding', unit: 'tokens/s' },
  utilisation: { label: 'share of libtorch’s matmul peak', unit: '%' },
  ownUtilisation: { label: 'share of our own products’ peak', unit: '%' },
  memory: { label: 'peak memory', unit: 'GiB' },
  'step/precomputed': { label: 'step against TRL, tuned, reference known', unit: '×' },
  'step/in-loop': { label: 'step against TRL, tuned, reference in the step', unit: '×' },
  'step/default': { label: 'step against TRL as users run it', unit: '×' },
  'epoch/best': { label: 'epoch against TRL, tuned, its better mode', unit: '×' },
  'epoch/default': { label: 'epoch against TRL as users run it', unit: '×' },
  'memory/tuned': { label: 'memory over TRL’s, tuned, its smaller mode', unit: '×' },
  'memory/default': { label: 'memory over TRL’s as users run it', unit: '×' },
  'rate/transformers': { label: 'against transformers', unit: '×' },
  'memory/transformers': { label: 'memory over transformers’', unit: '×' },
  equal: { label: 'tokens equal to transformers’', unit: '%' },
  grouped: { label: 'step grouped against step not grouped', unit: '×' },
  groupedTokens: { label: 'tokens a step, grouped over not grouped', unit: '×' },
  share: { label: 'share of a step, at most', unit: '%' },
  outside: { label: 'of it outside of the engine’s calls', unit: '%' },
  calls: { label: 'calls into the engine a step', unit: '' },
  emptyCall: { label: 'one that computes nothing', unit: 'µs' },
  seconds: { label: 'tokenising and packing', unit: 's' },
  firstScores: { label: 'from the start to the reference pass', unit: 's' },
  firstStep: { label: 'from the start to the first update, without a reference', unit: 's' },
  resident: { label: 'resident memory over the file’s size', unit: '×' },
  copied: { label: 'memory not mapped from the file, over its size', unit: '×' },
} as const;

export type Measure = keyof typeof MEASURES;

/** What is aimed at, and what is the least that will do. Shares are fractions. */
export interface Target {
  readonly atLeast?: number;
  readonly floor?: number;
  readonly atMost?: number;
}

/** Every target, by scenario and measure. */
export const TARGETS: Readonly<Record<string, Partial<Record<Measure, Target>>>> = {
  'train-fp32': {
    'step/precomputed': { atLeast: 2.8, floor: 2.5 },
    'epoch/best': { atLeast: 2.8, floor: 2.5 },
    'epoch/default': { atLeast: 5.6, floor: 5 },
  },
  'train-medium': { 'step/precomputed': { atLeast: 3.5, floor: 2.5 } },
  'train-bf16': {
    utilisation: { atLeast: 0.6 },
    'step/precomputed': { atLeast: 4.6, floor: 3.5 },
    'epoch/best': { atLeast: 4.5, floor: 3.5 },
    'epoch/default': { atLeast: 9, floor: 7 },
    'memory/tuned': { atMost: 0.35 },
    'memory/default': { atMost: 0.6 },
  },
  'lora-bf16': { 'step/in-loop': { atLeast: 4.5 } },
  'long-fp32': { 'step/precomputed': { atLeast: 2.5 } },
  'long-bf16': { 'step/precomputed': { atLeast: 2.5 } },
  'score-fp32': { 'rate/transformers': { atLeast: 4 } },
  'score-bf16': { 'rate/transformers': { atLeast: 4 } },
  'generate-fp32': { equal: { atLeast: 1 } },
  'generate-bf16': { 'rate/transformers': { atLeast: 1.5 } },
  'overhead-fp32': { share: { atMost: 0.03 } },
  'overhead-bf16': { share: { atMost: 0.03 } },
  tokenize: { seconds: { atMost: 20 } },
  load: { resident: { atMost: 1.1 } },
};

/** How a data set is batched and cut. */
export interface Batching {
  readonly pairs: number;
  readonly maxLength: number;
}

/** Settings that every scenario shares. */
export interface Settings {
  readonly steps: number;
  /** Steps at the start that are not counted. */
  readonly discard: number;
  /** Long pairs come two a step: the peer then needs about the memory of four short ones. */
  readonly batching: Readonly<Record<DataSet, Batching>>;
  readonly prompts: number;
  readonly newTokens: number;
  readonly tokenizedPairs: number;
}

/** What one process of ours or of the peer's reports: one JSON line. */
export interface Measurement {
  readonly seconds: number;
  /** Pairs, generated tokens, or loaded bytes, in those seconds. */
  readonly units: number;
  readonly peakBytes: number;
  /** Tokens that are not padding, counted once for each time they are needed, in those seconds. */
  readonly tokens?: number;
  readonly losses?: readonly number[];
  readonly referenceSeconds?: number;
  readonly referencePairs?: number;
  /** Useful floating-point operations in those seconds, and the peaks of libtorch's and our own products, a second. */
  readonly usefulFlops?: number;
  readonly peakFlops?: number;
  readonly ownPeakFlops?: number;
  /** Figures of one side alone. */
  readonly own?: Readonly<Partial<Record<Measure, number>>>;
  /** Something both sides can be compared by: mean log-probability and entropy, the generated tokens. */
  readonly check?: unknown;
}
