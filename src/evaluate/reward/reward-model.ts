import type { LoadedModel } from '../../checkpoints/index.ts';
import { hashValues, isProblem, type TextOrChat, tokenizeSequence } from '../../data/index.ts';
import { DataError, ModelError } from '../../errors.ts';
import type { SequenceClassifier } from '../../models/index.ts';
import type { Judge, ShownPair, Verdict } from '../judge/contract.ts';
import type { ScoreWatch } from './score-pass.ts';
import { loadScorer, Scorer, type ScorerLoadOptions } from './scorer.ts';

/** An answer to be scored. */
export interface AnswerToScore {
  readonly id: string;
  readonly prompt: TextOrChat;
  readonly answer: TextOrChat;
}

/**
 * A sequence-classification checkpoint with one label, read as a reward: what it says at an answer's last token. With a
 * chat template, a text answer to chat messages is the assistant's turn.
 */
export class RewardModel extends Scorer {
  /** @param maxLength tokens of prompt and answer together; a longer answer loses its end. Default 2048. */
  constructor(loaded: LoadedModel<SequenceClassifier>, maxLength = 2048) {
    const { outFeatures } = loaded.model.score;
    if (outFeatures !== 1) {
      throw new ModelError(
        'not-a-reward',
        `The classifier has ${outFeatures} labels; a reward model has one.`,
        {
          hint: 'Use a checkpoint with num_labels 1, as `mallows reward train` writes.',
        },
      );
    }
    super(loaded, maxLength);
  }

  /** Opens a checkpoint (see `loadModel` for what names one). Throws `ModelError` for one that is no reward model. */
  static load(spec: string, options: ScorerLoadOptions = {}): Promise<RewardModel> {
    return loadScorer(RewardModel, spec, options);
  }

  /** Rewards in the order of `answers`. Throws `DataError` for an answer that has no token to score. */
  async score(answers: readonly AnswerToScore[], watch?: ScoreWatch): Promise<Float64Array> {
    const { tokenizer } = this.loaded;
    const sequences = answers.map(({ id, prompt, answer }) => {
      const isText = typeof prompt === 'string' || typeof answer !== 'string';
      const completion: TextOrChat = isText ? answer : [{ role: 'assistant', content: answer }];
      const tokens = tokenizeSequence({ id, prompt, completion }, tokenizer, { maxLength: this.maxLength });
      if (isProblem(tokens)) {
        throw new DataError(tokens.reason, `The answer to "${id}" cannot be scored: ${tokens.detail}.`);
      }
      return tokens;
    });
    return this.scores(sequences, watch);
  }
}

interface Waiting {
  readonly pair: ShownPair;
  readonly resolve: (verdict: Verdict) => void;
  readonly reject: (error: unknown) => void;
}

/** A reward model as judge: the higher reward wins, with probability σ(r₁ − r₂). The order shown cannot matter. */
export class RewardJudge implements Judge {
  readonly name: string;
  readonly orderFree = true;
  readonly #model: RewardModel;
  /** Every answer is scored once, however many it is compared with. */
  readonly #scores = new Map<string, number>();
  readonly #waiting = new Map<AbortSignal | undefined, Waiting[]>();

  constructor(model: RewardModel) {
    this.name = model.loaded.source.spec;
    this.#model = model;
  }

  /** Pairs that are asked for together, under one signal, are scored together. */
  compare(pair: ShownPair, signal?: AbortSignal): Promise<Verdict> {
    return new Promise((resolve, reject) => {
      const batch = this.#waiting.get(signal) ?? [];
      if (batch.length === 0) {
        this.#waiting.set(signal, batch);
        setImmediate(() => void this.#flush(batch, signal));
      }
      batch.push({ pair, resolve, reject });
    });
  }

  async close(): Promise<void> {
    this.#model.dispose();
  }

  async #flush(batch: readonly Waiting[], signal: AbortSignal | undefined): Promise<void> {
    this.#waiting.delete(signal);
    try {
      const unscored = new Map<string, AnswerToScore>();
      const keyed = batch.map(({ pair: { id, prompt, first, second } }) =>
        [first, second].map((answer) => {
          const key = hashValues([prompt, answer]);
          if (!this.#scores.has(key)) unscored.set(key, { id, prompt, answer });
          return key;
        }),
      );
      const scores = await this.#model.score([...unscored.values()], { ...(signal && { signal }) });
      for (const [i, key] of [...unscored.keys()].entries()) this.#scores.set(key, scores[i]!);
      for (const [i, { resolve }] of batch.entries()) {
        const [first, second] = keyed[i]!.map((key) => this.#scores.get(key)!);
        resolve(verdictOf(first!, second!));
      }
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }
}

function verdictOf(first: number, second: number): Verdict {
  const text = `rewards ${first.toFixed(4)} and ${second.toFixed(4)}`;
  const outcome = first > second ? 'first' : first < second ? 'second' : 'tie';
  return { outcome, preference: 1 / (1 + Math.exp(second - first)), text };
}
