import { z } from 'zod';
import type { AlignmentSettings, ArmTraining, ImdbSettings } from '../experiments/index.ts';
import { objectiveNames } from '../objectives/index.ts';

/*
 * What the settings of an experiment may be. `satisfies` keeps each in step with the type that the experiment takes: a key
 * that is there and not here, or of another type, does not compile.
 */

const count = z.int().positive();
const whole = z.int().min(0);
const positive = z.number().positive();
const text = z.string().min(1);
const length = z.int().min(2);
const fraction = z.number().positive().max(1);

const training = z.strictObject({
  objectives: z.array(z.enum(objectiveNames as [string, ...string[]])).nonempty(),
  betas: z.array(positive).nonempty(),
  learningRates: z.array(positive).nonempty(),
  seeds: count,
  optimizer: z.enum(['adamw', 'rmsprop', 'sgd']),
  schedule: z.enum(['linear', 'cosine', 'constant']),
  warmupSteps: whole,
  batch: count,
  accumulate: count,
  epochs: positive,
  maxLength: length,
  checkpointEvery: whole,
}) satisfies z.ZodType<ArmTraining>;

const scorer = {
  /** Null: one is trained. */
  model: text.nullable(),
  epochs: positive,
  learningRate: positive,
  batch: count,
  maxLength: length,
  trainedLayers: count,
};

const sampled = { temperature: positive, topP: fraction, maxNewTokens: count };

export const alignmentSchema = z.strictObject({
  model: text,
  seed: whole,
  sft: z
    .strictObject({ pairs: count, epochs: positive, learningRate: positive, batch: count, maxLength: length })
    .nullable(),
  reward: z.strictObject({ ...scorer, pairs: count }),
  pairs: count,
  onPolicy: z.strictObject({ ...sampled, samples: z.int().min(2) }).nullable(),
  training,
  evaluation: z.strictObject({ ...sampled, prompts: count, seeds: count }),
}) satisfies z.ZodType<AlignmentSettings>;

export const imdbSchema = z.strictObject({
  model: text,
  seed: whole,
  openingWords: count,
  classifier: z.strictObject({ ...scorer, reviews: count, heldOut: count }),
  sft: z.strictObject({
    reviews: count,
    epochs: positive,
    learningRate: positive,
    optimizer: z.enum(['adamw', 'rmsprop']),
    warmupSteps: whole,
    batch: count,
    accumulate: count,
    maxLength: length,
  }),
  sampling: z.strictObject({ prompts: count, samples: z.int().min(2), maxNewTokens: count }),
  training,
  frontier: z.strictObject({ prompts: count, every: count }),
}) satisfies z.ZodType<ImdbSettings>;
