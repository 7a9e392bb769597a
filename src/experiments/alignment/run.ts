import { hashValues, type PairDataset } from '../../data/index.ts';
import { RunReader } from '../../runs/index.ts';
import { memoryFacts } from '../../train/index.ts';
import type { ArmRun } from '../shared/arms.ts';
import { openPipeline, type Pipeline } from '../shared/pipeline.ts';
import { trainArms } from '../shared/train-arms.ts';
import { alignmentClaims, rewardFindings } from './claims.ts';
import { compareMethods } from './compare.ts';
import type { AlignmentExperiment, AlignmentReport, AlignmentRun, Parts, TrainedArm } from './contract.ts';
import { type OnPolicyPairs, samplingStage } from './on-policy.ts';
import { readParts } from './parts.ts';
import { planAlignment } from './plan.ts';
import { checkRewards, rewardStage, sftStage } from './stages.ts';

/**
 * `mallows reproduce hh` (sections 5.4, C.3, D.1) and `mallows reproduce ultrafeedback` (sections 5.5, D.2): SFT where the
 * paper has it; a reward model; pairs, the data's own or, on policy, the best and the worst of several answers by that
 * reward; each objective at each setting; answers to held-out prompts; and a judge's win rate of each method against DPO at
 * the same setting. Every stage is kept in `output`, so an interrupted experiment goes on where it stopped.
 *
 * The pairs of the reward model are held apart: no prompt of theirs is trained or judged on. Without a `judge` the same
 * reward model judges, which is fair between methods but no measure of quality: on policy, it is what they were tuned to.
 */

/** Runs the pipeline, or what of it is left to do. Throws the signal's reason when interrupted. */
export async function runAlignment(experiment: AlignmentExperiment): Promise<AlignmentReport> {
  const { kind, settings, scale } = experiment;
  const pipeline = await openPipeline(experiment, settings.model);
  await checkRewards(experiment, pipeline);
  const parts = await readParts(experiment, pipeline.tokenizer);
  pipeline.plan(planAlignment(settings, parts, pipeline));
  const run: AlignmentRun = { experiment, pipeline, parts, facts: factsOf(experiment, pipeline, parts) };
  const reward = await rewardStage(run);
  const base = await sftStage(run);
  const sampled = settings.onPolicy === null ? undefined : await samplingStage(run, base, reward.model);
  const data = tunedPairs(run, sampled);
  const pairs = data.hash;
  const trained = await trainArms(experiment, pipeline, {
    model: base,
    data,
    facts: { base, sft: settings.sft, ...run.facts, pairs },
  });
  const { judge, comparisons } = await compareMethods(run, { arms: trained, base, pairs }, reward.model);
  const { claims, findings } = alignmentClaims(kind, comparisons, scale === 'paper');
  return {
    experiment: kind,
    scale,
    settings,
    data: parts.facts,
    reward,
    pairs: {
      count: data.examples.length,
      onPolicy: sampled !== undefined,
      meanGap: sampled?.meanGap ?? null,
    },
    judge,
    arms: trained.map(trainedArm),
    comparisons,
    claims,
    findings: [
      ...rewardFindings(reward.accuracy, {
        pairs: sampled !== undefined,
        judging: experiment.judge === undefined,
      }),
      ...findings,
    ],
  };
}

/** What every stage's result depends on. */
function factsOf({ settings }: AlignmentExperiment, { training }: Pipeline, { reward, train, test }: Parts) {
  return {
    data: hashValues([reward.pairs, train.pairs, test.pairs]),
    seed: settings.seed,
    dtype: training.dtype,
    model: settings.model,
  };
}

/** The pairs that are tuned on: the data's own, unless some were sampled. */
function tunedPairs({ experiment, parts }: AlignmentRun, sampled: OnPolicyPairs | undefined): PairDataset {
  const { onPolicy, pairs: wanted } = experiment.settings;
  const { source } = parts.facts;
  const examples = sampled?.pairs ?? parts.train.pairs.slice(0, wanted);
  const name =
    sampled === undefined
      ? `${source}: pairs to tune on`
      : `${source}: best and worst of ${onPolicy!.samples} answers to its prompts`;
  return { examples, ...memoryFacts(examples, hashValues(examples), name) };
}

/** A run with what its last evaluation says of held-out pairs. */
function trainedArm(run: ArmRun): TrainedArm {
  const last = new RunReader(run.path).lastEvaluation();
  return {
    ...run,
    accuracy: last?.['eval_rewards/accuracies'] ?? null,
    margin: last?.['eval_rewards/margins'] ?? null,
    loss: last?.eval_loss ?? null,
  };
}
