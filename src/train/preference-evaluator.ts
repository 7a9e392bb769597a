import type { LoadedModel } from '../checkpoints/index.ts';
import type { RunDirectory } from '../runs/index.ts';
import { mean } from '../stats/index.ts';
import { type EvaluatedPair, evaluateTask, summarizePreferences } from './evaluation.ts';
import { onPolicyKl, type WithReference } from './kl.ts';
import type { Evaluation } from './loop.ts';
import type { PreferenceTask } from './preference-task.ts';
import type { Session } from './session.ts';

/** A line of `evaluations/step-N.kl.jsonl`. */
export interface PromptKl {
  readonly id: string;
  /** `promptKey`; files of earlier versions lack it. */
  readonly prompt?: string;
  /** Of the policy's own answer to the reference, nats. */
  readonly kl: number;
}

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

  async evaluate(step: number): Promise<Readonly<Record<string, number>>> {
    const { model, withReference } = this.#session;
    const results = await evaluateTask(model, this.#task);
    const { metrics, pairs } = summarizePreferences(
      results,
      (item) => ({ id: this.#task.id(item), prompt: this.#options.promptKeyOf(item) }),
      this.#startPairs(step),
    );
    this.#run?.writeRecords(`evaluations/step-${step}.jsonl`, pairs);
    if (step === 0) this.#start = pairs;
    this.#latest = pairs;
    return {
      ...metrics,
      ...(await this.#onPolicyKl(step)),
      ...(await this.#options.probe?.({ step, loaded: this.#session.loaded, withReference })),
    };
  }

  async #onPolicyKl(step: number): Promise<Readonly<Record<string, number>>> {
    const { model, seed, withReference } = this.#session;
    const { prompts, maxNewTokens, stopTokenIds } = this.#options;
    if (prompts.length === 0) return {};
    const tokens = prompts.map((prompt) => prompt.tokens);
    const kls = await onPolicyKl(model, withReference, tokens, {
      maxNewTokens,
      stopTokenIds,
      seed: seed + step,
    });
    const keys = this.#promptKeys();
    const records = prompts.map(({ id }, index): PromptKl => {
      return { id, prompt: keys.get(id)!, kl: kls[index]! };
    });
    this.#run?.writeRecords(`evaluations/step-${step}.kl.jsonl`, records);
    return { 'kl/on_policy': mean([...kls]) };
  }

  #promptKeys(): ReadonlyMap<string, string> {
    const items = Array.from({ length: this.#task.items }, (_, item) => item);
    return new Map(items.map((item) => [this.#task.id(item), this.#options.promptKeyOf(item)]));
  }

  /** A resumed run reads what the first session found at the start. */
  #startPairs(step: number): readonly EvaluatedPair[] | undefined {
    if (step === 0) return undefined;
    this.#start ??= this.#run?.readRecords('evaluations/step-0.jsonl') as
      | readonly EvaluatedPair[]
      | undefined;
    return this.#start;
  }
}
