import { join } from 'node:path';
import { type LoadedModel, loadModel } from '../../checkpoints/index.ts';
import { hashValues, loadPairs } from '../../data/index.ts';
import { TextClassifier } from '../../evaluate/index.ts';
import type { WithReference } from '../../train/index.ts';
import { openPipeline, type Pipeline } from '../shared/pipeline.ts';
import { stage } from '../shared/stages.ts';
import { type ArmsStart, trainArms } from '../shared/train-arms.ts';
import { imdbClaims } from './claims.ts';
import type { ArmFrontier, ImdbExperiment, ImdbReport } from './contract.ts';
import { measurePolicy, momentsOf } from './frontier.ts';
import { samplePairs, writePairs } from './pairs.ts';
import { planImdb } from './plan.ts';
import { openings, type Reviews, readReviews } from './reviews.ts';
import { classifierStage, measureClassifier, sftStage } from './stages.ts';

/**
 * `mallows reproduce imdb`: controlled generation (section 5.3, Figure 8c). SFT on reviews; openings of reviews as prompts;
 * several sampled continuations each; a sentiment classifier as reward; the best and the worst continuation as a pair;
 * then each objective at each β, and along its training the share of positive samples against the on-policy KL to the SFT
 * model. Every stage is kept in `output`, so an interrupted experiment goes on where it stopped.
 *
 * Departures from the paper, whatever the scale: the reward is a classifier trained here on the same file (unless
 * `classifier.model` names one), and pairs are best and worst of `sampling.samples` by its score.
 */

const TF_IDF_FLOOR = 0.854;

/** Runs the pipeline, or what of it is left to do. Throws the signal's reason when interrupted. */
export async function runImdb(experiment: ImdbExperiment): Promise<ImdbReport> {
  const { settings } = experiment;
  const pipeline = await openPipeline(experiment, settings.model);
  const reviews = await readReviews(experiment);
  const data = hashValues([...reviews.heldOut, ...reviews.rest]);
  pipeline.plan(planImdb(settings, reviews, pipeline));
  const path = settings.classifier.model ?? (await classifierStage(experiment, pipeline, reviews, data));
  const classifier = await TextClassifier.load(path, {
    ...pipeline.placement,
    maxLength: settings.classifier.maxLength,
  });
  try {
    return await runWith({ path, classifier }, { experiment, pipeline, reviews, data });
  } finally {
    classifier.dispose();
  }
}

/** What every stage is given. */
interface Run {
  readonly experiment: ImdbExperiment;
  readonly pipeline: Pipeline;
  readonly reviews: Reviews;
  /** Names the reviews and how they were split. */
  readonly data: string;
}

interface OpenClassifier {
  readonly path: string;
  readonly classifier: TextClassifier;
}

async function runWith({ path, classifier }: OpenClassifier, run: Run): Promise<ImdbReport> {
  const { experiment, pipeline, reviews, data } = run;
  const { output, settings, scale } = experiment;
  const { heldOut, rest, source, badRows } = reviews;
  const accuracy = await stage(
    join(output, 'classifier-accuracy.json'),
    'classifier, held out',
    { classifier: settings.classifier, classifierPath: path, data, ...pipeline.placement },
    experiment,
    async () => measureClassifier(classifier, heldOut, experiment),
  );
  const sftModel = await sftStage(experiment, pipeline, reviews, data);
  const facts = sampledFrom(run);
  const pairs = await stage(join(output, 'pairs.json'), 'pairs', facts, experiment, (kept) =>
    samplePairs(experiment, pipeline, sftModel, classifier, openings(rest, settings), kept),
  );
  const files = writePairs(output, pairs);
  const probes = openings(heldOut, settings).slice(0, settings.frontier.prompts);
  const tuned = {
    ...(await loadPairs(files[0]!, { format: 'imdb', style: 'text' })),
    source: `${source}: best and worst of ${settings.sampling.samples} continuations of its openings`,
  };
  const frontiers = await frontiersOf(
    run,
    { model: sftModel, data: tuned, facts: { model: sftModel, pairs: hashValues(pairs) } },
    (loaded, withReference, signal) =>
      measurePolicy(loaded, withReference, classifier, probes, settings, signal),
  );
  return {
    experiment: 'imdb',
    scale,
    settings,
    data: { source, reviews: heldOut.length + rest.length, badRows },
    classifier: { model: path, accuracy, heldOut: heldOut.length, floor: TF_IDF_FLOOR },
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
}

/** What the sampled pairs depend on. */
function sampledFrom({ experiment: { settings }, pipeline, data }: Run) {
  const { sampling, openingWords, sft, classifier, seed, model } = settings;
  return { sampling, openingWords, sft, classifier, seed, model, data, ...pipeline.placement };
}

type Measure = (
  loaded: LoadedModel,
  withReference: WithReference,
  signal?: AbortSignal,
) => ReturnType<typeof measurePolicy>;

/** Trains every arm and measures its policy along the way; all start from the same one, which is measured once. */
async function frontiersOf(run: Run, start: ArmsStart, measure: Measure): Promise<ArmFrontier[]> {
  const { experiment, pipeline } = run;
  const { output, settings } = experiment;
  const { frontier } = settings;
  const before = await stage(
    join(output, 'start.json'),
    'before training',
    { ...sampledFrom(run), frontier },
    experiment,
    async () => {
      const loaded = await loadModel(start.model, pipeline.placement);
      try {
        return await measure(loaded, async (use) => use(loaded.model), experiment.signal);
      } finally {
        loaded.model.dispose();
      }
    },
  );
  const runs = await trainArms(experiment, pipeline, {
    ...start,
    facts: { ...start.facts, frontier },
    measured: {
      evaluation: { every: frontier.every },
      probe: async ({ step, loaded, withReference, signal }) =>
        step === 0 ? before : measure(loaded, withReference, signal),
    },
  });
  return runs.map((one) => ({ ...one, moments: momentsOf(one.path) }));
}
