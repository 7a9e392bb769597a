import type { TextOrChat } from '../data/contract.ts';
import type { DispersionModel, DispersionWeights } from '../objectives/index.ts';

/**
 * What a run and its report write into a run directory, by name: the contract between trainer, reader and user. Whoever
 * overwrites the run removes these files, and no others.
 */
export const RUN_FILES = {
  /** Resolved; what `train` and `sft` write is re-runnable as it is. */
  recipe: 'recipe.yaml',
  /** Versions, hashes, device, seed, command line. */
  provenance: 'provenance.json',
  /** A line a step; equal runs write equal bytes. */
  metrics: 'metrics.jsonl',
  /** Wall-clock, tokens per second, memory: a line a step. */
  timing: 'timing.jsonl',
  /** Training pairs under the reference model. */
  reference: 'reference.jsonl',
  /** Held-out pairs under the reference model; where the objective has none, under the model before training. */
  evalReference: 'eval-reference.jsonl',
  /** Where the weights w(x) came from, and how they are spread: one line. */
  dispersionModel: 'dispersion.json',
  /** The weights w(x) of training pairs. */
  dispersion: 'dispersion.jsonl',
  /** The weights w(x) of held-out pairs. */
  evalDispersion: 'eval-dispersion.jsonl',
  /** Answers to held-out prompts before and after training. */
  samples: 'samples.jsonl',
  /** `step-N.jsonl`: each held-out pair at an evaluation; `step-N.kl.jsonl`: the KL of each prompt. */
  evaluations: 'evaluations',
  /** `step-N/`: everything to go on bit for bit. */
  checkpoints: 'checkpoints',
  /** The result: a Hugging Face directory. */
  model: 'model',
  /** Of an adapter that was merged into the result: the adapter. */
  adapter: 'adapter',
  /** The report, and its numbers and figures. */
  report: 'report.html',
  reportNumbers: 'report.json',
  figures: 'figures',
} as const;

export type RunFile = keyof typeof RUN_FILES;

/** Beside what a run writes: what says that a process works on it, and what was set aside when it was overwritten. */
export const LOCK_FILE = 'run.lock';
export const REPLACED_FOLDER = 'replaced';

/** What others make of a run's model, in files of these names beside it: answers, rewards of those, verdicts on them. */
export const MADE_OF_MODEL = ['answers', 'rewards', 'judged'] as const;

/** The records of files that are written whole, one JSON object a line. */
export interface RunRecords {
  readonly reference: PairScore;
  readonly evalReference: PairLogps;
  readonly dispersionModel: DispersionModel & DispersionWeights['summary'];
  readonly dispersion: PairWeight;
  readonly evalDispersion: PairWeight;
  readonly samples: Sample;
}

/** The records of one evaluation. */
export interface EvaluationRecords {
  readonly pairs: EvaluatedPair;
  readonly kl: PromptKl;
}

/** A completion's summed log-probability. */
export interface CompletionLogp {
  /** Scored tokens. */
  readonly tokens: number;
  /** Their summed log-probability, nats. */
  readonly logp: number;
}

/** A completion under a model. */
export interface CompletionScore extends CompletionLogp {
  /** Mean entropy of the next-token distribution over the full vocabulary, nats a token. */
  readonly entropy: number;
}

/** A pair under a model, by its completions' log-probabilities: a line of `eval-reference.jsonl`. */
export interface PairLogps {
  readonly id: string;
  readonly chosen: CompletionLogp;
  readonly rejected: CompletionLogp;
}

/** A pair under a model: a line of `mallows score` and of `reference.jsonl`. */
export interface PairScore extends PairLogps {
  readonly chosen: CompletionScore;
  readonly rejected: CompletionScore;
}

/** What an objective weighs a pair by: a line of `dispersion.jsonl`. */
export interface PairWeight {
  readonly id: string;
  /** w(x) = −log φ(x) on the scale of the training pairs. */
  readonly negLogDispersion: number;
  /** e^−w(x) */
  readonly dispersion: number;
}

/** A held-out pair at one moment of training: a line of `evaluations/step-N.jsonl`. */
export interface EvaluatedPair {
  readonly id: string;
  /** `promptKey` of its prompt: pairs of one prompt are one piece of evidence. */
  readonly prompt: string;
  readonly loss: number;
  /** 1 when chosen has the higher reward, ½ for a tie. */
  readonly win: number;
  readonly chosenReward: number;
  readonly rejectedReward: number;
  /**
   * log π − log π_ref of each completion, nats. Unlike rewards, comparable across objectives: where the objective has no
   * reference, it is the model before training. Files of earlier versions lack it then.
   */
  readonly chosenLogRatio?: number;
  readonly rejectedLogRatio?: number;
}

/** A line of `evaluations/step-N.kl.jsonl`. */
export interface PromptKl {
  readonly id: string;
  /** `promptKey`; files of earlier versions lack it. */
  readonly prompt?: string;
  /** Of the policy's own answer to the reference, nats. */
  readonly kl: number;
}

/** A held-out prompt with answers from before and after training: a line of `samples.jsonl`. */
export interface Sample {
  readonly id: string;
  readonly prompt: TextOrChat;
  /** The data's preferred answer, to compare with. */
  readonly chosen: TextOrChat;
  readonly before: string;
  /** Absent while training goes on. */
  readonly after?: string;
}

/** A line of `timing.jsonl`. */
export interface StepTiming {
  readonly step: number;
  /** Wall-clock of this step, without evaluations and checkpoints. */
  readonly seconds: number;
  /** Tokens that went through the network, prompts once. */
  readonly tokens: number;
  readonly tokensPerSecond: number;
  readonly itemsPerSecond: number;
  readonly residentBytes: number;
  /** At the mean pace of the steps so far. */
  readonly secondsLeft: number;
}

/** What a run is made of besides its recipe: `provenance.json`. Runs of earlier versions and of other programs may lack any of it. */
export interface Provenance {
  /** When its first session began, ISO 8601. */
  readonly started?: string;
  readonly model?: { readonly hash?: string };
  readonly data?: {
    readonly train?: DataOrigin;
    readonly eval?: DataOrigin;
    /** Tokens of prompt and completion together, at most. */
    readonly maxLength?: number;
    /** Only preference tuning has one. */
    readonly objective?: { readonly name: string; readonly [coefficient: string]: unknown };
  };
  readonly precision?: { readonly dtype?: string };
  readonly seed?: number;
  readonly threads?: number;
  readonly [fact: string]: unknown;
}

export interface DataOrigin {
  readonly hash?: string;
  /** Of held-out data that are a share of the training data. */
  readonly heldOutFraction?: number;
  /** Of the choice of that share. */
  readonly heldOutSeed?: number;
  /** Usable ones. */
  readonly rows?: number;
  /** SHA-256 of the ids of those that are evaluated, in order. */
  readonly idsHash?: string;
  readonly [fact: string]: unknown;
}
