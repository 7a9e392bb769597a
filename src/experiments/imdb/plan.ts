import { armsOf } from '../shared/arms.ts';
import { type Pipeline, trainedShare } from '../shared/pipeline.ts';
import type { PlannedStage } from '../shared/plan.ts';
import { meanTokens } from '../shared/sampling.ts';
import type { Reviews } from './reviews.ts';
import type { ImdbSettings } from './settings.ts';

/** What is to be done, in the order of `runImdb`. */
export function planImdb(
  { classifier, sft, sampling, training, frontier, openingWords }: ImdbSettings,
  { heldOut, rest }: Reviews,
  { tokenizer, config }: Pipeline,
): PlannedStage[] {
  const tokens = (maxLength: number) =>
    meanTokens(
      rest.map(({ text }) => text),
      tokenizer,
      maxLength,
    );
  const trained = Math.min(classifier.reviews, rest.length);
  const tuned = Math.min(sft.reviews, rest.length);
  const samples = sampling.prompts * sampling.samples;
  const completion = sampling.maxNewTokens;
  const sequence = Math.ceil(1.5 * openingWords) + completion;
  const moment = { generated: frontier.prompts * completion, scored: 3 * frontier.prompts * sequence };
  const updates = Math.ceil(
    (0.9 * training.epochs * sampling.prompts) / (training.batch * training.accumulate),
  );
  const moments = Math.ceil(updates / frontier.every);
  return [
    ...(classifier.model === null
      ? [
          {
            name: 'classifier',
            work: `${trained} reviews of up to ${classifier.maxLength} tokens, upper ${classifier.trainedLayers} of ${config.layers} layers`,
            trained:
              classifier.epochs *
              trained *
              tokens(classifier.maxLength) *
              trainedShare(classifier.trainedLayers, config),
          },
        ]
      : []),
    {
      name: 'classifier, held out',
      work: `${heldOut.length} reviews`,
      scored: heldOut.length * tokens(classifier.maxLength),
    },
    {
      name: 'sft',
      work: `${tuned} reviews of up to ${sft.maxLength} tokens`,
      trained: sft.epochs * tuned * tokens(sft.maxLength),
    },
    {
      name: 'pairs',
      work: `${sampling.prompts} openings, ${sampling.samples} continuations of ${completion} tokens each`,
      generated: samples * completion,
      scored: samples * sequence,
    },
    { name: 'before training', work: `${frontier.prompts} openings answered`, ...moment },
    ...armsOf(training, 0).map(({ name }) => ({
      name,
      work: `up to ${updates} updates, ${frontier.prompts} openings answered at ${moments} moments`,
      trained: training.epochs * sampling.prompts * (sequence + completion),
      generated: moments * moment.generated,
      scored: moments * moment.scored,
    })),
  ];
}
