import type { TrainEvent } from '../train/index.ts';

/** The events of training, passed on as they come; a type that is missing here, or gone there, does not compile. */
const OF_TRAINING: Readonly<Record<TrainEvent['type'], true>> = {
  phase: true,
  note: true,
  data: true,
  reference: true,
  step: true,
  evaluation: true,
  checkpoint: true,
  resume: true,
};

const OF_COMMANDS = [
  'done',
  'error',
  'interrupted',
  'answer',
  'sampling',
  'summary',
  'comparison',
  'frontier',
  'winrate',
  'findings',
  'recipe',
  'schema',
  'settings',
  'plan',
  'stage',
  'run',
] as const;

/** Every event that `--json` may write (docs/json.md). */
export const EVENTS: readonly string[] = [...OF_COMMANDS, ...Object.keys(OF_TRAINING)];

/** A line that `--json` writes. */
export interface EventRecord {
  /** What the record is. */
  readonly event: (typeof OF_COMMANDS)[number] | TrainEvent['type'];
  readonly [field: string]: unknown;
}
