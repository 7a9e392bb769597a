import type { LoadedModel } from '../../checkpoints/index.ts';
import { encodePrompt } from '../../data/index.ts';
import type { TextClassifier } from '../../evaluate/index.ts';
import { RunReader } from '../../runs/index.ts';
import { mean } from '../../stats/index.ts';
import { sequenceKl, type WithReference } from '../../train/index.ts';
import { sampleTexts } from '../shared/sampling.ts';
import type { FrontierMoment } from './contract.ts';
import type { ImdbSettings } from './settings.ts';

/**
 * How positive a policy's continuations are, and how far it is from its reference, as metrics of its run. `signal` stops it by
 * throwing the signal's reason.
 */
export async function measurePolicy(
  loaded: LoadedModel,
  withReference: WithReference,
  classifier: Pick<TextClassifier, 'logOdds'>,
  prompts: readonly string[],
  { sampling, seed }: ImdbSettings,
  signal?: AbortSignal,
): Promise<Record<string, number>> {
  // The same random numbers at every moment: what changes is the policy.
  const watch = signal === undefined ? {} : { signal };
  const sampled = await sampleTexts(
    loaded,
    prompts,
    { maxNewTokens: sampling.maxNewTokens, samples: 1, seed },
    watch,
  );
  const texts = sampled.map(([first], index) => prompts[index]! + first!.text);
  const odds = await classifier.logOdds(texts, watch);
  const sequences = sampled.map(([first], index) => ({
    prompt: encodePrompt(prompts[index]!, loaded.tokenizer),
    completion: first!.tokens,
  }));
  return {
    'kl/on_policy': mean(await sequenceKl(loaded.model, withReference, sequences, signal)),
    'sentiment/accuracy': mean(odds.map((value) => (value > 0 ? 1 : 0))),
    'sentiment/probability': mean(odds.map((value) => 1 / (1 + Math.exp(-value)))),
  };
}

/** What `measurePolicy` found at each evaluation of a run. */
export function momentsOf(path: string): FrontierMoment[] {
  return new RunReader(path).metrics().flatMap((record) => {
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
