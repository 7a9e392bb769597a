import type { PreferencePair } from '../../data/index.ts';
import type { Judge, LeftOutPairs } from '../../evaluate/index.ts';
import type { ArmRun, Method } from '../shared/arms.ts';
import type { Claim } from '../shared/claims.ts';
import type { Pipeline, PipelineOptions } from '../shared/pipeline.ts';
import type { AlignmentKind, AlignmentSettings } from './settings.ts';

export interface AlignmentExperiment extends PipelineOptions {
  readonly kind: AlignmentKind;
  /** Pairs whose prompts are answered and judged. Default: held out from `data`. */
  readonly evalData?: string;
  readonly settings: AlignmentSettings;
  /**
   * Compares answers: a judge, which the caller closes, or a reward model's directory or hub id, which computes where and as
   * all else does. Default: the reward model of the experiment.
   */
  readonly judge?: Judge | string;
}

/** Pairs that serve one purpose. */
export interface Part {
  readonly pairs: readonly PreferencePair[];
  /** Mean tokens of a pair, its prompt once, and of a prompt. */
  readonly tokens: number;
  readonly promptTokens: number;
}

export interface Parts {
  readonly reward: Part;
  readonly train: Part;
  readonly test: Part;
  readonly facts: {
    readonly source: string;
    readonly format: string;
    readonly rows: number;
    readonly badRows: number;
    /** Prompts of the data that were left out because they are judged on. */
    readonly judgedPrompts: number;
    /** Pairs whose prompt leaves no room for an answer. */
    readonly tooLong: number;
  };
}

/** A trained run: what its held-out pairs say. */
export interface TrainedArm extends ArmRun {
  readonly accuracy: number | null;
  readonly margin: number | null;
  readonly loss: number | null;
}

/** A judge's word on one method against another, and the answers that have none. */
export interface Comparison extends LeftOutPairs {
  readonly method: Method;
  readonly against: string;
  /** Trainings of the method, a seed each. */
  readonly runs: number;
  readonly prompts: number;
  readonly answers: number;
  readonly wins: number;
  readonly ties: number;
  readonly losses: number;
  /** (wins + ½ ties)/answers in percent, with a 95 % interval over prompts and, where there are several, runs. */
  readonly winRate: { readonly estimate: number; readonly low: number; readonly high: number };
}

/** The content of report.json. */
export interface AlignmentReport {
  readonly experiment: AlignmentKind;
  readonly scale: 'small' | 'paper';
  readonly settings: AlignmentSettings;
  readonly data: Parts['facts'];
  readonly reward: {
    readonly model: string;
    /** Held-out accuracy with its 95 % interval; null for a model that was given. */
    readonly accuracy: { readonly estimate: number; readonly low: number; readonly high: number } | null;
  };
  readonly pairs: { readonly count: number; readonly onPolicy: boolean; readonly meanGap: number | null };
  readonly judge: string;
  readonly arms: readonly TrainedArm[];
  readonly comparisons: readonly Comparison[];
  readonly claims: readonly Claim[];
  readonly findings: readonly string[];
}

/** The experiment under way: what every stage is given. */
export interface AlignmentRun {
  readonly experiment: AlignmentExperiment;
  readonly pipeline: Pipeline;
  readonly parts: Parts;
  /** What every stage's result depends on. */
  readonly facts: Readonly<Record<string, unknown>>;
}
