import type { LoadedModel, ModelCard } from '../checkpoints/index.ts';
import { promptKey } from '../data/index.ts';
import { stopTokensFor } from '../generate/index.ts';
import {
  createObjective,
  type Objective,
  type ObjectiveChoice,
  type ObjectiveOptions,
  requireUpdateSize,
  resolveObjectiveOptions,
} from '../objectives/index.ts';
import type { EvaluatedPair, RunDirectory, Sample } from '../runs/index.ts';
import { type LoopResult, runLoop } from './loop.ts';
import { DEFAULT_LEARNING_RATES, DEFAULT_MAX_NEW_TOKENS } from './options.ts';
import { PairPreparation, type PreparedPairs } from './pair-preparation.ts';
import type { PairSplits, PreferenceDataOptions } from './preference-data.ts';
import { PairEvaluator, type Probe } from './preference-evaluator.ts';
import { PreferenceTask } from './preference-task.ts';
import { drawPrompts, SampleSheet } from './samples.ts';
import { Session } from './session.ts';

export interface PreferenceOptions extends PreferenceDataOptions {
  /** A preset, a preset with coefficients, or an objective of your own. Default `mallows-theta`. */
  readonly objective?: ObjectiveChoice | ObjectiveOptions | Objective;
  /** Called at every evaluation on held-out pairs; its numbers stand in the metrics beside the others. */
  readonly probe?: Probe;
}

export interface PreferenceResult extends LoopResult {
  /**
   * The trained model, in the compute dtype. With LoRA the adapters are attached unless they were merged. Its `source` is
   * what was saved, or says that no file holds these weights.
   *
   * @remarks The caller frees it (`model.dispose()`). A model in memory that was given is this one, trained.
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
  const resolved = resolveObjective(options.objective ?? 'mallows-theta');
  requireUpdateSize(resolved.objective, options.batch);
  return Session.run(options, DEFAULT_LEARNING_RATES.preference, (session) =>
    new Tuning(session, options, resolved).run(),
  );
}

/** One tuning, from pairs to the trained model. */
class Tuning {
  readonly #session: Session;
  readonly #options: PreferenceOptions;
  readonly #objective: Objective;
  readonly #coefficients: ResolvedObjective['coefficients'];

  constructor(session: Session, options: PreferenceOptions, { objective, coefficients }: ResolvedObjective) {
    this.#session = session;
    this.#options = options;
    this.#objective = objective;
    this.#coefficients = coefficients;
  }

  async run(): Promise<PreferenceResult> {
    const preparation = new PairPreparation(this.#session, this.#options, this.#objective);
    const rows = await preparation.read();
    const measuresKl = (this.#options.evaluation?.klSamples ?? 0) > 0 && rows.heldOut !== undefined;
    if (measuresKl) this.#session.requireReference();
    let run: RunDirectory | undefined;
    try {
      const splits = await preparation.tokenize(rows);
      const objective = { name: this.#objective.name, ...(this.#coefficients ?? { custom: true }) };
      run = this.#session.openRun({ objective, ...splits.facts });
      const prepared = await preparation.prepare(splits, run);
      return await this.#train(prepared, run);
    } finally {
      await preparation.stop();
      run?.close();
    }
  }

  async #train(prepared: PreparedPairs, run: RunDirectory | undefined): Promise<PreferenceResult> {
    const session = this.#session;
    const { splits, train } = prepared;
    const sheet = sampleSheet(this.#options, session, splits);
    await sheet.before(run, this.#options.signal);

    session.startTraining();
    const task = new PreferenceTask(train, this.#objective);
    const evaluator = this.#evaluator(prepared, run);
    session.checkNeeds(task);
    session.phase('train');
    const result = await runLoop({
      ...session.loopOptions(run, task),
      ...(evaluator && { evaluation: evaluator }),
    });

    if (result.status === 'finished') session.phase('save');
    const samples = result.status === 'finished' ? await sheet.after(run, this.#options.signal) : undefined;
    const finished = samples !== undefined;
    const settings = { ...this.#coefficients, ...dispersionSettings(this.#options, prepared) };
    const model =
      finished && run
        ? await session.save(run, modelCard(session, result, this.#objective, settings, splits), {
            chats: splits.train.examples.some(({ chosen }) => typeof chosen !== 'string'),
          })
        : session.finish();
    return {
      ...result,
      status: finished ? 'finished' : 'interrupted',
      model,
      evaluation: evaluator?.latest ?? [],
      samples: samples ?? [],
    };
  }

  #evaluator({ heldOut, splits }: PreparedPairs, run: RunDirectory | undefined): PairEvaluator | undefined {
    const { pairs } = heldOut;
    if (pairs.length === 0) return undefined;
    const { evaluation = {}, evalSeed = 0, probe } = this.#options;
    const { every = 0, klSamples = 0, maxNewTokens = DEFAULT_MAX_NEW_TOKENS } = evaluation;
    const { examples } = splits.heldOut;
    const promptKeys = new Map(examples.map(({ id, prompt }) => [id, promptKey(prompt)]));
    const prompts = pairs.map(({ id, prompt }) => ({ id, tokens: prompt }));
    return new PairEvaluator(this.#session, new PreferenceTask(heldOut, this.#objective), run, {
      every,
      maxNewTokens,
      stopTokenIds: stopTokensFor(
        this.#session.loaded,
        examples.map(({ prompt }) => prompt),
      ),
      promptKeyOf: (item) => promptKeys.get(pairs[item]!.id)!,
      prompts: drawPrompts(prompts, klSamples, evalSeed),
      ...(probe && { probe }),
    });
  }
}

interface ResolvedObjective {
  readonly objective: Objective;
  /** Unknown of an objective that is not from the registry. */
  readonly coefficients?: Readonly<Record<string, unknown>>;
}

/** The objective, and its coefficients with the defaults filled in. */
function resolveObjective(given: ObjectiveChoice | ObjectiveOptions | Objective): ResolvedObjective {
  if (isObjective(given)) return { objective: given };
  const options = typeof given === 'string' ? { name: given } : given;
  const { name: _, ...coefficients } = resolveObjectiveOptions(options);
  return { objective: createObjective(options), coefficients };
}

function isObjective(given: ObjectiveChoice | ObjectiveOptions | Objective): given is Objective {
  return typeof given === 'object' && 'evaluate' in given && typeof given.evaluate === 'function';
}

/** What a model card says of the weights w(x). */
function dispersionSettings(
  { dispersion }: PreferenceOptions,
  { source, phiStar }: PreparedPairs,
): Readonly<Record<string, string | number>> {
  if (source === 'none') return {};
  return {
    'dispersion source': dispersion?.shuffle === true ? `${source}, shuffled` : source,
    ...(dispersion?.floor !== undefined && { 'dispersion floor': dispersion.floor }),
    ...(phiStar !== undefined && { 'φ*': Number(phiStar.toPrecision(6)) }),
  };
}

function sampleSheet(
  { evaluation, evalSeed = 0 }: PreferenceOptions,
  session: Session,
  { heldOut }: PairSplits,
): SampleSheet {
  const prompts = heldOut.examples.map(({ id, prompt, chosen }, index) => {
    return { id, prompt, chosen, tokens: heldOut.tokens[index]!.prompt };
  });
  const asked = drawPrompts(prompts, evaluation?.samples ?? 0, evalSeed);
  const { model, tokenizer } = session.loaded;
  return new SampleSheet(model, tokenizer, asked, evaluation?.maxNewTokens ?? DEFAULT_MAX_NEW_TOKENS);
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
