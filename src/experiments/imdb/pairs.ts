import { join } from 'node:path';
import { loadModel } from '../../checkpoints/index.ts';
import type { TextClassifier } from '../../evaluate/index.ts';
import { type KeptParts, writeFileAtomic, writeJsonLines } from '../../runs/index.ts';
import type { Pipeline } from '../shared/pipeline.ts';
import { bestAndWorst, checkPairs, sampleInParts } from '../shared/sampling.ts';
import type { ImdbExperiment, SampledPair } from './contract.ts';

/** The most and the least positive of several continuations of each opening. */
export async function samplePairs(
  { settings, ...watch }: ImdbExperiment,
  { placement }: Pipeline,
  sftModel: string,
  classifier: TextClassifier,
  openings: readonly string[],
  kept: KeptParts,
): Promise<SampledPair[]> {
  const { prompts: count, ...sampling } = settings.sampling;
  const prompts = openings.slice(0, count);
  const loaded = await loadModel(sftModel, placement);
  try {
    const own = { ...sampling, seed: settings.seed };
    const sampled = await sampleInParts(loaded, prompts, own, watch, kept);
    const texts = sampled.flatMap((answers, index) => answers.map((text) => prompts[index]! + text));
    const odds = await classifier.logOdds(texts, watch);
    const pairs = prompts.flatMap((prompt, index): SampledPair[] => {
      const scored = sampled[index]!.map((text, sample) => ({
        text,
        score: odds[index * sampling.samples + sample]!,
      }));
      const [best, worst] = bestAndWorst(scored) ?? [];
      if (best === undefined || worst === undefined) return [];
      return [{ prompt, chosen: best.text, rejected: worst.text, gap: best.score - worst.score }];
    });
    checkPairs(pairs.length, prompts.length, 'sampling');
    return pairs;
  } finally {
    loaded.model.dispose();
  }
}

/** The pairs in f-DPO's offline format, which is what is trained on, and as plain JSON lines. */
export function writePairs(output: string, pairs: readonly SampledPair[]): string[] {
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
