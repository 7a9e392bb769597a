import { type LabelledText, loadLabelled } from '../../data/index.ts';
import { DataError } from '../../errors.ts';
import { RandomStream } from '../../stats/index.ts';
import { reviewOpening } from '../shared/reviews.ts';
import type { ImdbExperiment } from './contract.ts';
import type { ImdbSettings } from './settings.ts';

export interface Reviews {
  readonly heldOut: readonly LabelledText[];
  readonly rest: readonly LabelledText[];
  readonly source: string;
  readonly badRows: number;
}

/** The usable reviews in an order of the seed: first those that are held out, then the rest. */
export async function readReviews({ data, settings, reading = {} }: ImdbExperiment): Promise<Reviews> {
  const { examples, badRows, source } = await loadLabelled(data, reading);
  const count = settings.classifier.heldOut;
  if (examples.length < 2 * count) {
    throw new DataError(
      'too-few-reviews',
      `${data} has ${examples.length} usable reviews; ${count} are held out, and at least as many must be left.`,
      { hint: 'Give more reviews, or a smaller --set classifier.heldOut=N.' },
    );
  }
  const order = [...examples];
  RandomStream.create(settings.seed, 'imdb-split').shuffle(order);
  return { heldOut: order.slice(0, count), rest: order.slice(count), source, badRows: badRows.length };
}

/** The first words of reviews, as prompts; short reviews have none. */
export function openings(reviews: readonly LabelledText[], { openingWords }: ImdbSettings): string[] {
  return reviews.flatMap(({ text }) => reviewOpening(text.replace(/\s+/g, ' '), openingWords)?.prompt ?? []);
}
