import type { LoadedModel, ModelCard } from '../checkpoints/index.ts';
import { stopTokensFor } from '../generate/index.ts';
import {
  createObjective,
  type DispersionSource,
  type Objective,
  type ObjectiveOptions,
  requireUpdateSize,
  resolveObjectiveOptions,
} from '../objectives/index.ts';
import type { RunDirectory } from '../runs/index.ts';
import { type EvaluatedPair, promptKey } from './evaluation.ts';
import { type LoopResult, runLoop } from './loop.ts';
import { DEFAULT_LEARNING_RATES, DEFAULT_MAX_NEW_TOKENS } from './options.ts';
import {
  beginReference,
  type PairSplits,
  type PreferenceDataOptions,
  preparePairs,
  readPairRows,
  requirePairs,
  tokenizePairRows,
} from './preference-data.ts';
import { PairEvaluator, type Probe } from './preference-evaluator.ts';
import { PreferenceTask } from './preference-task.ts';
import { firstPrompts, type Sample, SampleSheet } from './samples.ts';
import { Session } from './session.ts';

export interface PreferenceOptions extends PreferenceDataOptions {
  /** A preset, a preset with coefficients, or an objective of your own. Default `mallows-theta`. */
  readonly objective?: string | ObjectiveOptions | Objective;
  /** Called at every evaluation on held-out pairs; its numbers stand in the metrics beside the others. */
  readonly probe?: Probe;
}

export interface PreferenceResult extends LoopResult {
  /**
   * The trained model, in the compute dtype. With LoRA the adapters are attached unless they were merged. Its `source` is
   * what was saved, or says that no file holds these weights.
   */
  readonly model: LoadedModel;
  /** Held-out pairs at the last evaluation of this session; empty without any. */
  readonly evaluation: readonly EvaluatedPair[];
  readonly samples: readonly Sample[];
}

/**
 * Tunes a model on preference pairs.
 *
 *     const { metrics } = await trainPreference({
 *       model: 'smollm2-135m',
 *       data: 'pairs.jsonl',
 *       objective: 'mallows-theta',
 *       output: 'runs/first',
 *     });
 *
 * @throws UsageError for options that contradict each other; DataError when no row is usable; TrainingError
 * `loss-not-finite` or `gradient-not-finite` with the rows that caused it.
 */
export async function trainPreference(options: PreferenceOptions): Promise<PreferenceResult> {
  const { objective, coefficients } = resolveObjective(options.objective ?? 'mallows-theta');
  requireUpdateSize(objective, options.batch);
  return Session.run(options, DEFAULT_LEARNING_RATES.preference, (session) =>
    tune(session, options, objective, coefficients),
  );
}

async function tune(
  session: Session,
  options: PreferenceOptions,
  objective: Objective,
  coefficients: Readonly<Record<string, unknown>> | undefined,
): Promise<PreferenceResult> {
  const rows = await readPairRows(options, session);
  const measuresKl = (options.evaluation?.klSamples ?? 0) > 0 && rows.heldOut !== undefined;
  if (measuresKl) session.requireReference();
  const { needsReference, source } = requirePairs(rows, options, objective, session);
  const reference = needsReference ? beginReference(rows, options, session) : undefined;
  let run: RunDirectory | undefined;
  try {
    const splits = await tokenizePairRows(rows, options, session, reference?.listeners);
    const objectiveFacts = { name: objective.name, ...(coefficients ?? { custom: true }) };
    run = session.openRun({ objective: objectiveFacts, ...splits.facts });
    if (reference === undefined) session.castForReference();
    const data = preparePairs(splits, await reference?.finish(), source, options, session, run);
    const sheet = sampleSheet(options, session, splits);
    await sheet.before(run);

    const { parameters, masters } = session.startTraining();
    const task = new PreferenceTask(data.train, objective);
    const evaluator = pairEvaluator(
      options,
      session,
      new PreferenceTask(data.heldOut, objective),
      run,
      data.heldOut.pairs,
      new Map(splits.heldOut.examples.map(({ id, prompt }) => [id, promptKey(prompt)])),
      stopTokensFor(
        session.loaded,
        splits.heldOut.examples.map(({ prompt }) => prompt),
      ),
    );
    session.checkMemory(task);
    session.phase('train');
    const result = await runLoop({
      ...session.loopOptions(run),
      parameters,
      masters,
      task,
      ...(evaluator && { evaluation: evaluator }),
    });

    const finished = result.status === 'finished';
    if (finished) session.phase('save');
    const samples = finished ? await sheet.after(run) : [];
    const settings = { ...coefficients, ...dispersionSettings(options, source, data.phiStar) };
    const model =
      finished && run
        ? await session.save(run, modelCard(session, result, objective, settings, splits), {
            chats: splits.train.examples.some(({ chosen }) => typeof chosen !== 'string'),
          })
        : session.finish();
    return { ...result, model, evaluation: evaluator?.latest ?? [], samples };
  } finally {
    await reference?.stop();
    run?.close();
  }
}

/** The objective, and its coefficients with the defaults filled in: unknown of one that is not from the registry. */
function resolveObjective(given: string | ObjectiveOptions | Objective): {
  readonly objective: Objective;
  readonly coefficients?: Readonly<Record<string, unknown>>;
} {
  if (typeof given !== 'string' && typeof given.evaluate === 'function') {
    return { objective: given as Objective };
  }
  const options = typeof given === 'string' ? { name: given } : (given as ObjectiveOptions);
  const { name: _, ...coefficients } = resolveObjectiveOptions(options);
  return { objective: createObjective(options), coefficients };
}

/** What a model card says of the weights w(x). */
function dispersionSettings(
  { dispersion }: PreferenceOptions,
  source: DispersionSource,
  phiStar: number | undefined,
): Readonly<Record<string, string | number>> {
  if (source === 'none') return {};
  return {
    'dispersion source': dispersion?.shuffle === true ? `${source}, shuffled` : source,
    ...(dispersion?.floor !== undefined && { 'dispersion floor': dispersion.floor }),
    ...(phiStar !== undefined && { 'φ*': Number(phiStar.toPrecision(6)) }),
  };
}

function sampleSheet(
  { evaluation }: PreferenceOptions,
  session: Session,
  { heldOut }: PairSplits,
): SampleSheet {
  const prompts = heldOut.examples.map(({ id, prompt, chosen }, index) => {
    return { id, prompt, chosen, tokens: heldOut.tokens[index]!.prompt };
  });
  const asked = firstPrompts(prompts, evaluation?.samples ?? 0);
  const { model, tokenizer } = session.loaded;
  return new SampleSheet(model, tokenizer, asked, evaluation?.maxNewTokens ?? DEFAULT_MAX_NEW_TOKENS);
}

function pairEvaluator(
  { evaluation = {}, probe }: PreferenceOptions,
  session: Session,
  task: PreferenceTask,
  run: ConstructorParameters<typeof PairEvaluator>[2],
  pairs: readonly { readonly id: string; readonly prompt: Int32Array }[],
  promptKeys: ReadonlyMap<string, string>,
  stopTokenIds: readonly number[],
): PairEvaluator | undefined {
  if (task.items === 0) return undefined;
  const { every = 0, klSamples = 0, maxNewTokens = DEFAULT_MAX_NEW_TOKENS } = evaluation;
  const prompts = pairs.map(({ id, prompt }) => ({ id, tokens: prompt }));
  return new PairEvaluator(session, task, run, {
    every,
    maxNewTokens,
    stopTokenIds,
    promptKeyOf: (item) => promptKeys.get(pairs[item]!.id)!,
    prompts: firstPrompts(prompts, klSamples),
    ...(probe && { probe }),
  });
}

function modelCard(
  session: Session,
  result: LoopResult,
  objective: Objective,
  settings: Readonly<Record<string, unknown>>,
  { facts }: PairSplits,
): ModelCard {
  const last = result.metrics.at(-1) ?? {};
  const shown = ['eval_loss', 'eval_rewards/accuracies', 'eval_rewards/margins', 'eval_kl/on_policy'];
  const metrics = shown.flatMap((name) => {
    const value = (last as Record<string, number | null | undefined>)[name];
    return typeof value === 'number' ? [[name.slice('eval_'.length), Number(value.toFixed(4))] as const] : [];
  });
  const { source } = facts.train;
  return session.card({
    objective: objective.name,
    datasets: [source],
    settings: { ...printable(settings), steps: result.step },
    metrics: Object.fromEntries(metrics),
  });
}

function printable(settings: Readonly<Record<string, unknown>>): Record<string, string | number> {
  return Object.fromEntries(
    Object.entries(settings).map(([name, value]) => [
      name,
      typeof value === 'number' ? value : String(value),
    ]),
  );
}
