import { z } from 'zod';
import {
  DEFAULT_CHECKPOINT_MINUTES,
  DEFAULT_LEARNING_RATES,
  DEFAULT_LORA_RANK,
  DEFAULT_MAX_NEW_TOKENS,
  DEFAULT_PAIRS,
} from '../train/options.ts';

/*
 * The recipe: everything that a run depends on. Keys are snake_case as in YAML; every key has a description (shown in
 * docs/recipe-keys.md and in editors) and, where a default makes sense, its default.
 */

const positive = z.number().positive();
const fraction = z.number().min(0).max(1);
const count = z.int().positive();

/** Of a moving average: at 1 it would never move. */
const smoothing = z.number().min(0).lt(1);

const rates = {
  preference: DEFAULT_LEARNING_RATES.preference.toExponential(),
  sft: DEFAULT_LEARNING_RATES.sft.toExponential(),
  lora: DEFAULT_LEARNING_RATES.lora.toExponential(),
};

/** bf16 where the machine has kernels for it, else fp32; the run says which. */
const dtype = z
  .enum(['auto', 'fp32', 'bf16'])
  .default('auto')
  .describe('compute type; auto: bf16 where the machine has kernels for it, else fp32');

const optimizer = z
  .strictObject({
    name: z.enum(['adamw', 'rmsprop', 'sgd']).default('adamw').describe('rmsprop is the paper’s'),
    lr: positive
      .optional()
      .describe(
        `peak learning rate; default ${rates.preference} (sft: ${rates.sft}), with LoRA ${rates.lora}`,
      ),
    weight_decay: z.number().min(0).default(0).describe('on matrices, not on norms and biases'),
    betas: z.tuple([smoothing, smoothing]).optional().describe('adamw; default [0.9, 0.999]'),
    epsilon: positive.optional().describe('adamw, rmsprop; default 1e-8'),
    alpha: smoothing.optional().describe('rmsprop: smoothing of the squared gradient; default 0.99'),
    momentum: fraction.optional().describe('rmsprop, sgd; default 0'),
    centered: z.boolean().optional().describe('rmsprop; default false'),
    dampening: z.number().min(0).optional().describe('sgd; default 0'),
    nesterov: z.boolean().optional().describe('sgd; default false'),
    max_grad_norm: z
      .number()
      .min(0)
      .default(1)
      .describe('global gradient norm is clipped to this; 0: not clipped'),
  })
  .prefault({});

const schedule = z
  .strictObject({
    name: z
      .enum(['linear', 'cosine', 'constant'])
      .default('linear')
      .describe('shape after warm-up, as in transformers'),
    warmup_steps: z.int().min(0).optional().describe('steps over which the rate rises from 0; default 0'),
    warmup_ratio: z.number().min(0).lt(1).optional().describe('the same as a share of all steps'),
  })
  .prefault({});

const batch = z
  .strictObject({
    pairs: count
      .optional()
      .describe(`pairs (sft: examples) an update reads at once; default ${DEFAULT_PAIRS}`),
    tokens: count.optional().describe('instead of pairs: as many as fit into this many tokens'),
    bucket: z.boolean().default(false).describe('put rows of similar length together'),
    group_prompts: z
      .boolean()
      .default(false)
      .describe('keep pairs of one prompt together: it is computed once for all'),
    accumulate: count.default(1).describe('batches summed into one update'),
  })
  .prefault({});

const lora = z
  .strictObject({
    rank: count.default(DEFAULT_LORA_RANK).describe('rank of the adapters'),
    alpha: positive.optional().describe('scale of the adapters is alpha / rank; default twice the rank'),
    merge: z.boolean().default(false).describe('also save the base model with the adapters merged in'),
    target_modules: z
      .array(z.string().min(1))
      .nonempty()
      .optional()
      .describe('names of linear maps; default: all of a layer’s'),
  })
  .optional()
  .describe('low-rank adapters instead of all weights; lora: {} or any of its keys turns them on');

const evaluation = z
  .strictObject({
    every: z.int().min(0).default(0).describe('steps between evaluations; 0: only at the start and the end'),
    max_pairs: count.optional().describe('evaluate on so many held-out pairs, drawn by prompt; default all'),
    samples: z
      .int()
      .min(0)
      .default(4)
      .describe('held-out prompts, drawn, answered before and after training, shown in the report'),
    max_new_tokens: count.default(DEFAULT_MAX_NEW_TOKENS).describe('length limit of those answers'),
    kl_samples: z
      .int()
      .min(0)
      .default(4)
      .describe('held-out prompts, drawn, answered for the on-policy KL at each evaluation; 0: none'),
  })
  .prefault({});

const checkpoint = z
  .strictObject({
    every: z
      .int()
      .min(0)
      .default(0)
      .describe(
        'steps between checkpoints; 0: none by steps. When interrupted, when an evaluation fails and at the end is one',
      ),
    minutes: z
      .number()
      .min(0)
      .optional()
      .describe(
        `minutes from one checkpoint to the next; 0: none by the clock; default ${DEFAULT_CHECKPOINT_MINUTES}, and 0 where every is given`,
      ),
    keep: count.default(1).describe('checkpoints kept on disk, the newest'),
  })
  .prefault({});

const common = {
  model: z.string().min(1).describe('alias (smollm2-135m), directory, .gguf file or hub id'),
  data: z.string().min(1).describe('file (.jsonl, .jsonl.gz, .csv, .parquet) or hub data set'),
  eval_data: z.string().min(1).optional().describe('held-out rows; default: eval_fraction of the data'),
  eval_fraction: z
    .number()
    .min(0)
    .lt(1)
    .default(0.1)
    .describe('share of the data held out when there is no eval_data'),
  format: z
    .string()
    .default('auto')
    .describe('auto; chat or text: how completions are written; or a layout: hh, ultrafeedback, shp, …'),
  columns: z
    .record(z.string(), z.string())
    .optional()
    .describe('our column names to the data’s: {prompt: query, chosen: good, rejected: bad}'),
  strict: z.boolean().default(false).describe('stop at the first bad row instead of counting it'),
  max_length: z
    .int()
    .min(2)
    .optional()
    .describe('tokens of prompt and completion together; default 1024, or the model’s context if shorter'),
  epochs: positive.optional().describe('passes over the data; default 1'),
  steps: count.optional().describe('updates; instead of epochs'),
  optimizer,
  schedule,
  batch,
  lora,
  checkpoint,
  dtype,
  matmul_precision: z
    .enum(['highest', 'high', 'medium'])
    .optional()
    .describe('of fp32 matrix products; medium: factors rounded to bf16, summed in fp32; default highest'),
  device: z.string().default('auto').describe('auto, cpu, cuda, cuda:N, mps'),
  recompute: z
    .boolean()
    .default(false)
    .describe('recompute activations in the backward pass: less memory, a third more work'),
  threads: count.optional().describe('CPU threads; default: the machine’s cores'),
  seed: z.int().min(0).default(0).describe('of shuffling and sampling'),
  output: z.string().min(1).describe('run directory'),
};

/** `mallows train`. */
export const trainSchema = z.strictObject({
  ...common,
  output: common.output.default('runs/train'),
  objective: z
    .looseObject({
      name: z.string().default('mallows-theta').describe('preset, see docs/objectives.md'),
      beta: positive
        .optional()
        .describe('β: what it scales and its default are the preset’s; orpo and simper have none'),
    })
    .prefault({})
    .describe('a preset and its coefficients'),
  dispersion: z
    .strictObject({
      source: z.enum(['entropy', 'votes', 'column']).default('entropy').describe('where w(x) comes from'),
      floor: positive
        .optional()
        .describe('smallest −log φ that votes may give; default: contested training pairs are left out'),
      shuffle: z.boolean().default(false).describe('control: the same weights on the wrong prompts'),
    })
    .prefault({}),
  eval: evaluation,
});

/** `mallows sft`. */
export const sftSchema = z.strictObject({
  ...common,
  // Plain sequences share no tokens.
  batch: batch.unwrap().omit({ group_prompts: true }).prefault({}),
  output: common.output.default('runs/sft'),
  eval: evaluation.unwrap().omit({ kl_samples: true }).prefault({}),
});

export type TrainRecipe = z.infer<typeof trainSchema>;
export type SftRecipe = z.infer<typeof sftSchema>;
