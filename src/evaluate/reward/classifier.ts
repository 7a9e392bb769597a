import type { LoadedModel } from '../../checkpoints/index.ts';
import type { LabelledText } from '../../data/index.ts';
import { DataError, ModelError } from '../../errors.ts';
import type { SequenceClassifier } from '../../models/index.ts';
import { bootstrap } from '../../stats/index.ts';
import { LabelTask, splitFirst } from './label-task.ts';
import type { ScorerOptions, ScorerResult } from './options.ts';
import type { ScoreWatch } from './score-pass.ts';
import { loadScorer, Scorer, type ScorerLoadOptions } from './scorer.ts';
import { trainScorer } from './train-scorer.ts';

const DEFAULT_MAX_LENGTH = 256;

export interface ClassifierOptions extends ScorerOptions {
  readonly data: readonly LabelledText[];
  /** Held-out texts. Default: none, and so no evaluation. */
  readonly evalData?: readonly LabelledText[];
  /** What the texts are called in provenance and model card. Default `labelled texts`. */
  readonly source?: string;
  /** Tokens of a text; a longer one loses its beginning, because opinions come last. Default 256. */
  readonly maxLength?: number;
}

/**
 * Trains a sequence classifier with one score, the log odds of label 1, on texts of two kinds. Its directory is a reward
 * model to every command that takes one.
 */
export async function trainClassifier(options: ClassifierOptions): Promise<ScorerResult> {
  const { data, evalData = [], source = 'labelled texts', maxLength = DEFAULT_MAX_LENGTH } = options;
  return trainScorer(options, async ({ loaded }) => {
    const tokens = (texts: readonly LabelledText[]) =>
      texts.map(({ id, text, label }) => ({ id, label, tokens: encodeText(loaded, text, maxLength) }));
    const task = new LabelTask(loaded.model, tokens(data));
    const heldOut = new LabelTask(loaded.model, tokens(evalData));
    return {
      task,
      ...(evalData.length > 0 && { evaluate: (signal?: AbortSignal) => evaluateLabels(heldOut, signal) }),
      facts: { train: { source, rows: data.length }, eval: { rows: evalData.length }, maxLength },
      objective: 'binary cross-entropy',
      label: 'positive',
      accuracy: 'accuracy',
    };
  });
}

/** Held-out loss, and accuracy with its 95 % interval. */
async function evaluateLabels(
  task: LabelTask,
  signal: AbortSignal | undefined,
): Promise<Record<string, number>> {
  const results = await task.evaluateAll(signal);
  const correct = results.flatMap((result) => result.items.map((_, i) => task.correct(result, i)));
  if (correct.length < 2) return task.metrics(results);
  const { low, high } = bootstrap(correct, { resamples: 2000 });
  return { ...task.metrics(results), 'accuracy/low': low, 'accuracy/high': high };
}

/** A sequence-classification checkpoint read as the log odds that a text is positive. */
export class TextClassifier extends Scorer {
  readonly #positive: number;

  /** @param maxLength tokens of a text; a longer one loses its beginning. Default 256. */
  constructor(loaded: LoadedModel<SequenceClassifier>, maxLength = DEFAULT_MAX_LENGTH) {
    super(loaded, maxLength);
    this.#positive = positiveLabel(loaded);
  }

  /** Opens a checkpoint (see `loadModel` for what names one). Throws `ModelError` where no label says positive. */
  static load(spec: string, options: ScorerLoadOptions = {}): Promise<TextClassifier> {
    return loadScorer(TextClassifier, spec, options);
  }

  /** log P(positive) − log P(not positive) of each text. */
  async logOdds(texts: readonly string[], watch?: ScoreWatch): Promise<Float64Array> {
    const sequences = texts.map((text) => splitFirst(encodeText(this.loaded, text, this.maxLength)));
    const scores = await this.scores(sequences, watch);
    const labels = this.loaded.model.score.outFeatures;
    return Float64Array.from(texts, (_, item) =>
      logOddsOf(scores.subarray(item * labels, (item + 1) * labels), this.#positive),
    );
  }
}

/** One score is the log odds itself; of several, softmax gives the probabilities. */
function logOddsOf(scores: Float64Array, positive: number): number {
  if (scores.length === 1) return scores[0]!;
  const others = scores.filter((_, label) => label !== positive);
  const largest = Math.max(...others);
  const sum = others.reduce((total, score) => total + Math.exp(score - largest), 0);
  return scores[positive]! - largest - Math.log(sum);
}

/** Which label says positive: by its name, or the second of two. */
function positiveLabel({ config, model, source }: LoadedModel<SequenceClassifier>): number {
  const labels = model.score.outFeatures;
  if (labels === 1) return 0;
  const names = Object.entries((config.raw.id2label ?? {}) as Record<string, unknown>);
  const named = names.find(([, name]) => /^(pos|positive)$/i.test(String(name)));
  if (named !== undefined) return Number(named[0]);
  if (labels === 2) return 1;
  throw new ModelError(
    'no-positive-label',
    `${source.spec} has ${labels} labels, none of them called positive: ${names.map(([, name]) => String(name)).join(', ')}.`,
    { hint: 'Use a classifier with one label, with two, or with one named "positive" in id2label.' },
  );
}

function encodeText(
  { tokenizer }: LoadedModel<SequenceClassifier>,
  text: string,
  maxLength: number,
): Int32Array {
  const tokens = tokenizer.encode(text);
  const kept = tokens.length <= maxLength ? tokens : tokens.slice(tokens.length - maxLength);
  if (kept.length >= 2) return kept;
  // Too short to pack: the end-of-text token closes it.
  const closed = tokenizer.encode(`${text}${tokenizer.eosToken ?? ''}`);
  if (closed.length >= 2) return closed;
  throw new DataError(
    'empty-completion',
    `The text ${JSON.stringify(text)} has no token that could be scored.`,
  );
}
