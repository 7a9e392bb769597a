import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { loadModel } from '../checkpoints/index.ts';
import {
  encodePrompt,
  hashValues,
  type LabelledText,
  type LoadPairsOptions,
  loadLabelled,
} from '../data/index.ts';
import { type Device, setThreads } from '../engine/index.ts';
import { DataError } from '../errors.ts';
import { TextClassifier, trainClassifier } from '../evaluate/index.ts';
import { readMetrics, writeFileAtomic, writeJsonLines } from '../runs/index.ts';
import { bootstrap, type Interval, RandomStream } from '../stats/index.ts';
import {
  type ProbedPolicy,
  sequenceKl,
  type TrainingDType,
  type TrainObserver,
  trainPreference,
  trainSft,
} from '../train/index.ts';
import { type Arm, armFolder, armOptions, armsOf } from './arms.ts';
import type { Claim } from './claims.ts';
import { imdbClaims } from './imdb-claims.ts';
import type { ImdbSettings } from './imdb-settings.ts';
import { reviewOpening } from './reviews.ts';
import { sampleTexts } from './sampling.ts';
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

export interface ImdbExperiment extends StageWatch {
  /** Labelled reviews. */
  readonly data: string;
  readonly output: string;
  readonly settings: ImdbSettings;
  /** `paper` when the paper's statements can be judged by it. */
  readonly scale: 'small' | 'paper';
  readonly reading?: LoadPairsOptions;
  readonly dtype?: TrainingDType;
  readonly device?: Device | 'auto';
  readonly threads?: number;
  readonly referenceCache?: string | false;
  readonly observer?: TrainObserver;
}

/** The policy at one moment of training. */
export interface FrontierMoment {
  readonly step: number;
  /** Nats a completion. */
  readonly kl: number;
  /** Share of samples that the classifier calls positive. */
  readonly accuracy: number;
  /** Mean probability of positive. */
  readonly probability: number;
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

interface SampledPair {
  readonly prompt: string;
  readonly chosen: string;
  readonly rejected: string;
  readonly gap: number;
}

/** Runs the pipeline, or what of it is left to do. Throws the signal's reason when interrupted. */
export async function runImdb(experiment: ImdbExperiment): Promise<ImdbReport> {
  const { output, settings, scale, dtype = 'auto', device = 'auto', observer } = experiment;
  if (experiment.threads !== undefined) setThreads(experiment.threads);
  mkdirSync(output, { recursive: true });
  const watch: StageWatch = experiment;
  const reviews = await readReviews(experiment);
  const { heldOut, rest } = reviews;
  const place = { device: device === 'auto' ? undefined : device };
  const common = { dtype, device, seed: settings.seed, ...(observer && { observer }) } as const;
  const data = hashValues([...heldOut, ...rest]);

  const classifierPath = settings.classifier.model ?? (await classifierStage(experiment, reviews, data));
  const classifier = await TextClassifier.load(classifierPath, {
    ...(place.device !== undefined && { device: place.device }),
    maxLength: settings.classifier.maxLength,
  });
  try {
    const accuracy = await stage(
      output,
      'classifier-accuracy',
      { classifierPath, data, heldOut: heldOut.length },
      watch,
      async () => measureClassifier(classifier, heldOut),
    );
    const { sft } = settings;
    const sftModel = await trainingStage(
      join(output, 'sft'),
      'sft',
      { ...sft, model: settings.model, data, seed: settings.seed, dtype },
      watch,
      (run) =>
        trainSft({
          ...common,
          ...run,
          model: settings.model,
          data: rest.slice(-sft.reviews).map(({ id, text }) => ({ id, completion: text })),
          evalFraction: 0.05,
          maxLength: sft.maxLength,
          epochs: sft.epochs,
          learningRate: sft.learningRate,
          optimizer: { name: sft.optimizer },
          schedule: { name: 'linear', warmupSteps: sft.warmupSteps },
          batch: { pairs: sft.batch, accumulate: sft.accumulate },
        }),
    );
    const pairs = await stage(
      output,
      'pairs',
      {
        sampling: settings.sampling,
        openingWords: settings.openingWords,
        sftModel,
        sft,
        data,
        classifierPath,
      },
      watch,
      async () =>
        samplePairs(
          experiment,
          sftModel,
          classifier,
          openings(rest, settings).slice(0, settings.sampling.prompts),
        ),
    );
    const files = writePairs(output, pairs);
    const probes = openings(heldOut, settings).slice(0, settings.frontier.prompts);
    const frontiers: ArmFrontier[] = [];
    for (const arm of armsOf(settings.training)) {
      const path = join(output, 'runs', armFolder(arm));
      const options = armOptions(arm, settings.training);
      await trainingStage(
        path,
        arm.label,
        {
          model: sftModel,
          data: hashValues(pairs),
          seed: settings.seed,
          dtype,
          ...options,
          frontier: settings.frontier,
        },
        watch,
        (run) =>
          trainPreference({
            ...common,
            ...run,
            ...options,
            model: sftModel,
            data: files[0]!,
            reading: { format: 'imdb', style: 'text' },
            evalFraction: Math.min(0.5, Math.max(0.1, 2 / pairs.length)),
            evaluation: { every: settings.frontier.every },
            probe: (policy) => probe(policy, classifier, probes, settings),
            ...(experiment.referenceCache !== undefined && { referenceCache: experiment.referenceCache }),
          }),
      );
      frontiers.push({ arm, path, moments: momentsOf(path) });
    }
    return {
      experiment: 'imdb',
      scale,
      settings,
      data: { source: experiment.data, reviews: heldOut.length + rest.length, badRows: reviews.badRows },
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
  readonly badRows: number;
}

async function readReviews({ data, settings, reading = {} }: ImdbExperiment): Promise<Reviews> {
  const { examples, badRows } = await loadLabelled(data, reading);
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
  return { heldOut: order.slice(0, count), rest: order.slice(count), badRows: badRows.length };
}

async function classifierStage(
  experiment: ImdbExperiment,
  { heldOut, rest }: Reviews,
  data: string,
): Promise<string> {
  const { settings, output, dtype = 'auto', device = 'auto', observer } = experiment;
  const { classifier } = settings;
  return trainingStage(
    join(output, 'classifier'),
    'classifier',
    { ...classifier, base: settings.model, data, seed: settings.seed, dtype },
    experiment,
    (run) =>
      trainClassifier({
        ...run,
        model: settings.model,
        train: rest.slice(0, classifier.reviews),
        heldOut: heldOut.slice(0, 64), // the whole of it is measured once, after training
        maxLength: classifier.maxLength,
        epochs: classifier.epochs,
        learningRate: classifier.learningRate,
        schedule: { name: 'linear', warmupRatio: 0.1 },
        batch: { pairs: classifier.batch },
        trainedLayers: classifier.trainedLayers,
        seed: settings.seed,
        dtype,
        ...(device !== 'auto' && { device }),
        ...(observer && { observer }),
      }),
  );
}

async function measureClassifier(classifier: TextClassifier, texts: readonly LabelledText[]) {
  const odds = await classifier.logOdds(texts.map(({ text }) => text));
  const correct = texts.map(({ label }, index) => Number(odds[index]! > 0 === (label === 1)));
  const { estimate, low, high } = bootstrap(correct, { resamples: 2000 });
  return { estimate, low, high };
}

function openings(reviews: readonly LabelledText[], { openingWords }: ImdbSettings): string[] {
  return reviews.flatMap(({ text }) => reviewOpening(text.replace(/\s+/g, ' '), openingWords)?.prompt ?? []);
}

async function samplePairs(
  { settings, ...experiment }: ImdbExperiment,
  sftModel: string,
  classifier: TextClassifier,
  prompts: readonly string[],
): Promise<SampledPair[]> {
  const { sampling, seed } = settings;
  const device = experiment.device;
  const loaded = await loadModel(sftModel, device === undefined || device === 'auto' ? {} : { device });
  try {
    const sampled = await sampleTexts(
      loaded,
      prompts,
      { maxNewTokens: sampling.maxNewTokens, samples: sampling.samples, seed },
      experiment,
    );
    const texts = sampled.flatMap((own, index) => own.map(({ text }) => prompts[index]! + text));
    const odds = await classifier.logOdds(texts);
    const pairs = prompts.flatMap((prompt, index): SampledPair[] => {
      const own = sampled[index]!.map(({ text }, sample) => ({
        text,
        odds: odds[index * sampling.samples + sample]!,
      }))
        .filter(({ text }) => text.trim() !== '')
        .sort((a, b) => b.odds - a.odds);
      const [best, worst] = [own[0], own.at(-1)];
      if (best === undefined || worst === undefined || best.text === worst.text) return [];
      return [{ prompt, chosen: best.text, rejected: worst.text, gap: best.odds - worst.odds }];
    });
    if (pairs.length >= 2) return pairs;
    throw new DataError(
      'no-pairs',
      `Only ${pairs.length} of ${prompts.length} prompts have two different continuations.`,
      {
        hint: 'Sample more, or longer: --set sampling.samples=N --set sampling.maxNewTokens=N.',
      },
    );
  } finally {
    loaded.model.dispose();
  }
}

/** The pairs in f-DPO's offline format, which is what is trained on, and as plain JSON lines. */
function writePairs(output: string, pairs: readonly SampledPair[]): string[] {
  const quote = (text: string) => `"${text.replaceAll('"', '""')}"`;
  const csv = join(output, 'pairs.csv');
  const jsonl = join(output, 'pairs.jsonl');
  const rows = pairs.map(({ prompt, chosen, rejected }) =>
    [prompt, prompt + chosen, prompt + rejected].map(quote).join(','),
  );
  writeFileAtomic(csv, `Prompt,positive_response,negative_response\n${rows.join('\n')}\n`);
  writeJsonLines(jsonl, pairs);
  return [csv, jsonl];
}

async function probe(
  { loaded, withReference }: ProbedPolicy,
  classifier: TextClassifier,
  prompts: readonly string[],
  { sampling, seed }: ImdbSettings,
): Promise<Record<string, number>> {
  // The same random numbers at every moment: what changes is the policy.
  const sampled = await sampleTexts(loaded, prompts, {
    maxNewTokens: sampling.maxNewTokens,
    samples: 1,
    seed,
  });
  const odds = await classifier.logOdds(sampled.map(([first], index) => prompts[index]! + first!.text));
  const sequences = sampled.map(([first], index) => ({
    prompt: encodePrompt(prompts[index]!, loaded.tokenizer),
    completion: first!.tokens,
  }));
  const kls = await sequenceKl(loaded.model, withReference, sequences);
  const mean = (values: Float64Array) => values.reduce((sum, value) => sum + value, 0) / values.length;
  return {
    'kl/on_policy': mean(kls),
    'sentiment/accuracy': mean(odds.map((value) => (value > 0 ? 1 : 0))),
    'sentiment/probability': mean(odds.map((value) => 1 / (1 + Math.exp(-value)))),
  };
}

function momentsOf(path: string): FrontierMoment[] {
  return readMetrics(path).flatMap((record) => {
    const [kl, accuracy, probability] = [
      record['eval_kl/on_policy'],
      record['eval_sentiment/accuracy'],
      record['eval_sentiment/probability'],
    ];
    return typeof kl === 'number' && typeof accuracy === 'number' && typeof probability === 'number'
      ? [{ step: record.step, kl, accuracy, probability }]
      : [];
  });
}
