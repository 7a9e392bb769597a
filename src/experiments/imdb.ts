import { join } from 'node:path';
import { type LoadedModel, loadModel } from '../checkpoints/index.ts';
import { hashValues, type LabelledText, loadLabelled, loadPairs } from '../data/index.ts';
import { DataError } from '../errors.ts';
import { TextClassifier, trainClassifier } from '../evaluate/index.ts';
import { bootstrap, type Interval, RandomStream } from '../stats/index.ts';
import { memoryFacts, trainPreference, trainSft, type WithReference } from '../train/index.ts';
import { type Arm, armFolder, armOptions, armsOf } from './arms.ts';
import type { Claim } from './claims.ts';
import { imdbClaims } from './imdb-claims.ts';
import { type FrontierMoment, measurePolicy, momentsOf } from './imdb-frontier.ts';
import { samplePairs, writePairs } from './imdb-pairs.ts';
import type { ImdbSettings } from './imdb-settings.ts';
import { openPipeline, type Pipeline, type PipelineOptions, trainedShare } from './pipeline.ts';
import type { PlannedStage } from './plan.ts';
import { reviewOpening } from './reviews.ts';
import { meanTokens } from './sampling.ts';
import { type StageWatch, stage, trainingStage } from './stages.ts';

/**
 * `mallows reproduce imdb`: controlled generation (section 5.3, Figure 8c). SFT on reviews; openings of reviews as prompts;
 * several sampled continuations each; a sentiment classifier as reward; the best and the worst continuation as a pair;
 * then each objective at each β, and along its training the share of positive samples against the on-policy KL to the SFT
 * model. Every stage is kept in `output`, so an interrupted experiment goes on where it stopped.
 *
 * Departures from the paper, whatever the scale: the reward is a classifier trained here on the same file (unless
 * `classifier.model` names one), and pairs are best and worst of `sampling.samples` by its score.
 */

export interface ImdbExperiment extends PipelineOptions {
  readonly settings: ImdbSettings;
}

export interface ArmFrontier {
  readonly arm: Arm;
  readonly path: string;
  readonly moments: readonly FrontierMoment[];
}

/** The content of report.json. */
export interface ImdbReport {
  readonly experiment: 'imdb';
  readonly scale: 'small' | 'paper';
  readonly settings: ImdbSettings;
  readonly data: { readonly source: string; readonly reviews: number; readonly badRows: number };
  readonly classifier: {
    readonly model: string;
    readonly accuracy: Pick<Interval, 'estimate' | 'low' | 'high'>;
    readonly heldOut: number;
    /** Accuracy of TF-IDF with logistic regression on such reviews, a floor for any sentiment reward. */
    readonly floor: number;
  };
  readonly pairs: {
    readonly count: number;
    readonly prompts: number;
    /** Mean log odds of positive, chosen minus rejected. */
    readonly meanGap: number;
    readonly files: readonly string[];
  };
  readonly samplesPerMoment: number;
  readonly frontiers: readonly ArmFrontier[];
  readonly claims: readonly Claim[];
  readonly findings: readonly string[];
}

const TF_IDF_FLOOR = 0.854;

/** Runs the pipeline, or what of it is left to do. Throws the signal's reason when interrupted. */
export async function runImdb(experiment: ImdbExperiment): Promise<ImdbReport> {
  const { output, settings, scale, referenceCache } = experiment;
  const pipeline = await openPipeline(experiment, settings.model);
  const reviews = await readReviews(experiment);
  const { heldOut, rest } = reviews;
  const data = hashValues([...heldOut, ...rest]);
  const probes = openings(heldOut, settings).slice(0, settings.frontier.prompts);
  pipeline.plan(planImdb(settings, reviews, pipeline));

  const classifierPath =
    settings.classifier.model ?? (await classifierStage(experiment, pipeline, reviews, data));
  const classifier = await TextClassifier.load(classifierPath, {
    ...pipeline.placement,
    maxLength: settings.classifier.maxLength,
  });
  try {
    const accuracy = await stage(
      join(output, 'classifier-accuracy.json'),
      'classifier, held out',
      { classifier: settings.classifier, classifierPath, data, ...pipeline.placement },
      experiment,
      async () => measureClassifier(classifier, heldOut, experiment),
    );
    const sftModel = await sftStage(experiment, pipeline, reviews, data);
    const sampled = {
      sampling: settings.sampling,
      openingWords: settings.openingWords,
      sft: settings.sft,
      classifier: settings.classifier,
      seed: settings.seed,
      model: settings.model,
      data,
      ...pipeline.placement,
    };
    const pairs = await stage(join(output, 'pairs.json'), 'pairs', sampled, experiment, (kept) =>
      samplePairs(experiment, pipeline, sftModel, classifier, openings(rest, settings), kept),
    );
    const files = writePairs(output, pairs);
    const named = {
      ...(await loadPairs(files[0]!, { format: 'imdb', style: 'text' })),
      source: `${reviews.source}: best and worst of ${settings.sampling.samples} continuations of its openings`,
    };
    const measure = (loaded: LoadedModel, withReference: WithReference) =>
      measurePolicy(loaded, withReference, classifier, probes, settings);
    // Every arm starts from the same policy.
    const start = await stage(
      join(output, 'start.json'),
      'before training',
      { ...sampled, frontier: settings.frontier },
      experiment,
      async () => {
        const loaded = await loadModel(sftModel, pipeline.placement);
        try {
          return await measure(loaded, async (use) => use(loaded.model));
        } finally {
          loaded.model.dispose();
        }
      },
    );
    const frontiers: ArmFrontier[] = [];
    for (const arm of armsOf(settings.training, settings.seed)) {
      const path = join(output, 'runs', armFolder(arm));
      const options = armOptions(arm, settings.training);
      await trainingStage(
        path,
        arm.name,
        { model: sftModel, pairs: hashValues(pairs), ...options, frontier: settings.frontier },
        experiment,
        (run) =>
          trainPreference({
            ...pipeline.training,
            ...run,
            ...options,
            model: sftModel,
            data: named,
            evalFraction: Math.min(0.5, Math.max(0.1, 2 / pairs.length)),
            evaluation: { every: settings.frontier.every },
            probe: async ({ step, loaded, withReference }) =>
              step === 0 ? start : measure(loaded, withReference),
            ...(referenceCache !== undefined && { referenceCache }),
          }),
      );
      frontiers.push({ arm, path, moments: momentsOf(path) });
    }
    return {
      experiment: 'imdb',
      scale,
      settings,
      data: { source: reviews.source, reviews: heldOut.length + rest.length, badRows: reviews.badRows },
      classifier: { model: classifierPath, accuracy, heldOut: heldOut.length, floor: TF_IDF_FLOOR },
      pairs: {
        count: pairs.length,
        prompts: settings.sampling.prompts,
        meanGap: pairs.reduce((sum, { gap }) => sum + gap, 0) / pairs.length,
        files,
      },
      samplesPerMoment: probes.length,
      frontiers,
      ...imdbClaims(frontiers, scale === 'paper', probes.length),
    };
  } finally {
    classifier.dispose();
  }
}

interface Reviews {
  readonly heldOut: readonly LabelledText[];
  readonly rest: readonly LabelledText[];
  readonly source: string;
  readonly badRows: number;
}

async function readReviews({ data, settings, reading = {} }: ImdbExperiment): Promise<Reviews> {
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

/** What is to be done, in the order of `runImdb`. */
function planImdb(
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

function classifierStage(
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
        train: rest.slice(0, classifier.reviews),
        heldOut: heldOut.slice(0, 64), // the whole of it is measured once, after training
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

async function measureClassifier(
  classifier: TextClassifier,
  texts: readonly LabelledText[],
  { onProgress }: StageWatch,
) {
  const odds = await classifier.logOdds(
    texts.map(({ text }) => text),
    onProgress,
  );
  const correct = texts.map(({ label }, index) => Number(odds[index]! > 0 === (label === 1)));
  const { estimate, low, high } = bootstrap(correct, { resamples: 2000 });
  return { estimate, low, high };
}

function sftStage(
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

function openings(reviews: readonly LabelledText[], { openingWords }: ImdbSettings): string[] {
  return reviews.flatMap(({ text }) => reviewOpening(text.replace(/\s+/g, ' '), openingWords)?.prompt ?? []);
}
