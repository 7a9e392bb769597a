import type { LoadedModel } from '../checkpoints/index.ts';
import type { EvaluatedPair, PairLogps, PromptKl, RunDirectory } from '../runs/index.ts';
import { mean } from '../stats/index.ts';
import { evaluateTask, samePairs, summarizePreferences } from './evaluation.ts';
import { onPolicyKl, type WithReference } from './kl.ts';
import type { Evaluation } from './loop.ts';
import type { PreferenceResults, PreferenceTask } from './preference-task.ts';
import type { Session } from './session.ts';

export interface PairEvaluatorOptions {
  readonly every: number;
  /** `promptKey` of a held-out pair's prompt. */
  readonly promptKeyOf: (item: number) => string;
  /** Prompts that the policy answers for `kl/on_policy`; none: no KL. */
  readonly prompts: readonly { readonly id: string; readonly tokens: Int32Array }[];
  readonly maxNewTokens: number;
  /** Tokens that end the policy's answers. */
  readonly stopTokenIds: readonly number[];
  readonly probe?: Probe;
}

/** The policy at an evaluation, for measurements of one's own. */
export interface ProbedPolicy {
  readonly step: number;
  readonly loaded: LoadedModel;
  readonly withReference: WithReference;
  /** When it fires, the evaluation may stop by throwing the signal's reason; a resumed run begins with it. */
  readonly signal?: AbortSignal;
}

/** Measures whatever it likes of the policy; what it returns is logged as `eval_*`. Must leave the model as it is. */
export type Probe = (policy: ProbedPolicy) => Promise<Readonly<Record<string, number>>>;

/** Held-out pairs between training steps: loss, rewards, log-ratios, and the KL of what the policy itself writes. */
export class PairEvaluator implements Evaluation {
  readonly every: number;
  readonly #session: Session;
  readonly #task: PreferenceTask;
  readonly #run: RunDirectory | undefined;
  readonly #options: PairEvaluatorOptions;
  #start: readonly EvaluatedPair[] | undefined;
  #startLogps: readonly PairLogps[] | undefined;
  #latest: readonly EvaluatedPair[] = [];

  constructor(
    session: Session,
    task: PreferenceTask,
    run: RunDirectory | undefined,
    options: PairEvaluatorOptions,
  ) {
    this.every = options.every;
    this.#session = session;
    this.#task = task;
    this.#run = run;
    this.#options = options;
  }

  /** Pairs at the last evaluation. */
  get latest(): readonly EvaluatedPair[] {
    return this.#latest;
  }

  async evaluate(step: number, signal?: AbortSignal): Promise<Readonly<Record<string, number>>> {
    const { model, loaded, withReference } = this.#session;
    const stoppable = signal === undefined ? {} : { signal };
    const results = await evaluateTask(model, this.#task, stoppable);
    const { metrics, pairs } = summarizePreferences(
      results,
      (item) => ({ id: this.#task.id(item), prompt: this.#options.promptKeyOf(item) }),
      { pairs: this.#startPairs(step), logps: this.#logpsAtStart(step, results) },
    );
    this.#run?.writeEvaluation(step, 'pairs', pairs);
    if (step === 0) this.#start = pairs;
    this.#latest = pairs;
    return {
      ...metrics,
      ...(await this.#onPolicyKl(step, stoppable)),
      ...(await this.#options.probe?.({ step, loaded, withReference, ...stoppable })),
    };
  }

  async #onPolicyKl(
    step: number,
    stoppable: { readonly signal?: AbortSignal },
  ): Promise<Readonly<Record<string, number>>> {
    const { model, seed, withReference } = this.#session;
    const { prompts, maxNewTokens, stopTokenIds } = this.#options;
    if (prompts.length === 0) return {};
    const tokens = prompts.map((prompt) => prompt.tokens);
    const kls = await onPolicyKl(model, withReference, tokens, {
      maxNewTokens,
      stopTokenIds,
      seed: seed + step,
      ...stoppable,
    });
    const keys = this.#promptKeys();
    const records = prompts.map(({ id }, index): PromptKl => {
      return { id, prompt: keys.get(id)!, kl: kls[index]! };
    });
    this.#run?.writeEvaluation(step, 'kl', records);
    return { 'kl/on_policy': mean([...kls]) };
  }

  #promptKeys(): ReadonlyMap<string, string> {
    const items = Array.from({ length: this.#task.items }, (_, item) => item);
    return new Map(items.map((item) => [this.#task.id(item), this.#options.promptKeyOf(item)]));
  }

  /** A resumed run reads what the first session found at the start. */
  #startPairs(step: number): readonly EvaluatedPair[] | undefined {
    if (step === 0) return undefined;
    this.#start ??= this.#savedStart();
    return this.#start;
  }

  /** A run of an earlier version does not say which pairs it evaluates, but for what it wrote of them. */
  #savedStart(): readonly EvaluatedPair[] | undefined {
    const saved = this.#run?.evaluation(0);
    if (saved === undefined || samePairs(saved, this.#ids())) return saved;
    this.#session.note(
      'warning',
      'other-evaluated-pairs',
      'The run began with other held-out pairs than are evaluated now: how far their losses moved since the start is not known, and earlier evaluations say nothing of these.',
    );
    return [];
  }

  /**
   * What stands for a reference where the objective has none: the policy before training, as its first evaluation finds it.
   * A resumed run reads what the first session found.
   */
  #logpsAtStart(step: number, results: readonly PreferenceResults[]): readonly PairLogps[] | undefined {
    if (results.some(({ batch }) => batch.chosen.referenceLogps !== undefined)) return undefined;
    if (step === 0) {
      this.#startLogps = logpsOf(results, this.#task);
      this.#run?.writeRecords('evalReference', this.#startLogps);
    } else {
      this.#startLogps ??= this.#savedLogps();
    }
    return this.#startLogps;
  }

  #savedLogps(): readonly PairLogps[] | undefined {
    const saved = this.#run?.records('evalReference');
    return samePairs(saved, this.#ids()) ? saved : undefined;
  }

  /** In the order of the task's items. */
  #ids(): { readonly id: string }[] {
    return Array.from({ length: this.#task.items }, (_, item) => ({ id: this.#task.id(item) }));
  }
}

/** In the order of the task's items. */
function logpsOf(results: readonly PreferenceResults[], task: PreferenceTask): PairLogps[] {
  const found: PairLogps[] = new Array(task.items);
  for (const { items, batch } of results) {
    for (const [index, item] of items.entries()) {
      const side = (name: 'chosen' | 'rejected') => {
        return { tokens: batch[name].tokens[index]!, logp: batch[name].logps[index]! };
      };
      found[item] = { id: task.id(item), chosen: side('chosen'), rejected: side('rejected') };
    }
  }
  return found;
}
