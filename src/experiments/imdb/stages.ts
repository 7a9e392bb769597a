import { join } from 'node:path';
import { hashValues, type LabelledText } from '../../data/index.ts';
import { type TextClassifier, trainClassifier } from '../../evaluate/index.ts';
import { bootstrap } from '../../stats/index.ts';
import { memoryFacts, trainSft } from '../../train/index.ts';
import type { Pipeline } from '../shared/pipeline.ts';
import { type StageWatch, trainingStage } from '../shared/stages.ts';
import type { ImdbExperiment } from './contract.ts';
import type { Reviews } from './reviews.ts';

export function classifierStage(
  { settings, output, ...watch }: ImdbExperiment,
  { training }: Pipeline,
  { heldOut, rest, source }: Reviews,
  data: string,
): Promise<string> {
  const { classifier, model, seed } = settings;
  return trainingStage(
    join(output, 'classifier'),
    'classifier',
    { ...classifier, base: model, data, seed, dtype: training.dtype },
    watch,
    (run) =>
      trainClassifier({
        ...training,
        ...run,
        model,
        source: `${source}: labelled reviews`,
        data: rest.slice(0, classifier.reviews),
        evalData: heldOut.slice(0, 64), // the whole of it is measured once, after training
        maxLength: classifier.maxLength,
        epochs: classifier.epochs,
        learningRate: classifier.learningRate,
        schedule: { name: 'linear', warmupRatio: 0.1 },
        batch: { pairs: classifier.batch },
        trainedLayers: classifier.trainedLayers,
        seed,
      }),
  );
}

export async function measureClassifier(
  classifier: TextClassifier,
  texts: readonly LabelledText[],
  watch: StageWatch,
) {
  const odds = await classifier.logOdds(
    texts.map(({ text }) => text),
    watch,
  );
  const correct = texts.map(({ label }, index) => Number(odds[index]! > 0 === (label === 1)));
  const { estimate, low, high } = bootstrap(correct, { resamples: 2000 });
  return { estimate, low, high };
}

export function sftStage(
  { settings, output, ...watch }: ImdbExperiment,
  { training }: Pipeline,
  { rest, source }: Reviews,
  data: string,
): Promise<string> {
  const { sft, model, seed } = settings;
  const texts = rest.slice(-sft.reviews).map(({ id, text }) => ({ id, completion: text }));
  return trainingStage(
    join(output, 'sft'),
    'sft',
    { ...sft, model, data, seed, dtype: training.dtype },
    watch,
    (run) =>
      trainSft({
        ...training,
        ...run,
        model,
        seed,
        data: { examples: texts, ...memoryFacts(texts, hashValues(texts), `${source}: reviews as text`) },
        evalFraction: 0.05,
        maxLength: sft.maxLength,
        epochs: sft.epochs,
        learningRate: sft.learningRate,
        optimizer: { name: sft.optimizer },
        schedule: { name: 'linear', warmupSteps: sft.warmupSteps },
        batch: { pairs: sft.batch, accumulate: sft.accumulate },
      }),
  );
}
