import type { ModelCard } from '../../checkpoints/index.ts';
import type { RunDirectory } from '../../runs/index.ts';
import type { LoopResult } from '../../train/index.ts';
import { runLoop } from '../../train/loop.ts';
import { DEFAULT_LORA_RANK } from '../../train/options.ts';
import type { SplitFacts } from '../../train/splits.ts';
import type { ScorerOptions, ScorerResult } from './options.ts';
import { ScorerSession, type ScorerTask } from './scorer-session.ts';

/** What a kind of scoring model learns, once its data are read. */
export interface Scoring {
  readonly task: ScorerTask;
  /** Metrics on held-out items. */
  readonly evaluate?: (signal?: AbortSignal) => Promise<Record<string, number>>;
  /** For provenance.json. */
  readonly facts: SplitFacts;
  /** For the model card. */
  readonly objective: string;
  /** What the one score means. */
  readonly label: string;
  /** Name of the metric that is the held-out accuracy. */
  readonly accuracy: string;
}

/** Trains a sequence classifier with one label by the loop of preference tuning, and saves it. */
export async function trainScorer(
  options: ScorerOptions,
  prepare: (session: ScorerSession) => Promise<Scoring>,
): Promise<ScorerResult> {
  return ScorerSession.run(options, async (session) => {
    const scoring = await prepare(session);
    const { task, evaluate } = scoring;
    const run = session.openRun(scoring.facts);
    try {
      session.startTraining();
      session.checkNeeds(task);
      session.phase('train');
      const result = await runLoop({
        ...session.loopOptions(run, task),
        ...(evaluate && {
          evaluation: {
            every: options.evaluation?.every ?? 0,
            evaluate: (_, signal) => evaluate(signal),
          },
        }),
      });
      return { ...result, model: await end(session, options, scoring, result, run) };
    } finally {
      run?.close();
    }
  });
}

function end(
  session: ScorerSession,
  options: ScorerOptions,
  scoring: Scoring,
  result: LoopResult,
  run: RunDirectory | undefined,
) {
  if (run === undefined || result.status !== 'finished') return session.finish();
  session.phase('save');
  return session.save(run, modelCard(session, options, scoring, result), scoring.label);
}

function modelCard(
  session: ScorerSession,
  { lora }: ScorerOptions,
  { objective, accuracy: name, facts }: Scoring,
  { metrics, step }: LoopResult,
): ModelCard {
  const accuracy = metrics.at(-1)?.[`eval_${name}`];
  return session.card({
    objective,
    datasets: [facts.train.source],
    pipeline: 'text-classification',
    settings: { steps: step, ...(lora && { 'LoRA rank': lora.rank ?? DEFAULT_LORA_RANK }) },
    ...(typeof accuracy === 'number' && { metrics: { 'held-out accuracy': Number(accuracy.toFixed(4)) } }),
  });
}
