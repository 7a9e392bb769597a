import {
  isProblem,
  loadPairs,
  type PreferencePair,
  packedLength,
  promptKey,
  tokenizePair,
} from '../../data/index.ts';
import { DataError } from '../../errors.ts';
import { RandomStream } from '../../stats/index.ts';
import type { Tokenizer } from '../../text/index.ts';
import type { AlignmentExperiment, Part, Parts } from './contract.ts';

/**
 * Splits the data at random by prompt: for judging, for the reward model, for tuning; no prompt is in two of them. Pairs that
 * are too long are passed over.
 */
export async function readParts(
  { data, evalData, settings, reading = {} }: AlignmentExperiment,
  tokenizer: Tokenizer,
): Promise<Parts> {
  const options = { chatTemplate: tokenizer.chatTemplate !== undefined, ...reading };
  const { evaluation, training, sft } = settings;
  let tooLong = 0;
  const part = (groups: PreferencePair[][], count: number, maxLength: number, ofPrompt?: number): Part => {
    const room = Math.min(evaluation.maxNewTokens, maxLength / 2);
    const pairs: PreferencePair[] = [];
    let [tokens, promptTokens] = [0, 0];
    while (pairs.length < count && groups.length > 0) {
      for (const pair of groups.pop()!.slice(0, ofPrompt)) {
        const tokenized = tokenizePair(pair, tokenizer, { maxLength });
        if (isProblem(tokenized) || tokenized.prompt.length + room > maxLength) {
          tooLong++;
          continue;
        }
        pairs.push(pair);
        tokens += packedLength(tokenized);
        promptTokens += tokenized.prompt.length;
      }
    }
    return { pairs, tokens: tokens / pairs.length, promptTokens: promptTokens / pairs.length };
  };
  const shuffled = (pairs: readonly PreferencePair[], stream: string) =>
    RandomStream.create(settings.seed, stream).shuffle(byPrompt(pairs));
  const all = await loadPairs(data, options);
  const known = shuffled(all.examples, 'alignment-split');
  // Files of several parts are one after the other, so that neither end stands for the whole.
  const asked =
    evalData === undefined
      ? known
      : shuffled((await loadPairs(evalData, options)).examples, 'alignment-test');
  // A prompt is answered once, however many pairs it has.
  const test = part(asked, evaluation.prompts, training.maxLength, 1);
  const judged = new Set(test.pairs.map(({ prompt }) => promptKey(prompt)));
  const groups = known.filter(([pair]) => !judged.has(promptKey(pair!.prompt)));
  const judgedPrompts = known.length - groups.length;
  const reward = part(
    groups,
    settings.reward.model === null ? settings.reward.pairs : 0,
    settings.reward.maxLength,
  );
  const train = part(groups, Math.max(settings.pairs, sft?.pairs ?? 0), training.maxLength);
  if (
    train.pairs.length < 4 ||
    test.pairs.length === 0 ||
    (settings.reward.model === null && reward.pairs.length < 4)
  ) {
    throw new DataError(
      'too-few-pairs',
      `${data} has ${all.examples.length} usable pairs: ${reward.pairs.length} for the reward model, ${train.pairs.length} to tune on and ${test.pairs.length} to judge are left; ${tooLong} were too long.`,
      { hint: 'Give more pairs, a file with --eval-data, smaller parts or a larger maxLength with --set.' },
    );
  }
  const { source, format, examples, badRows } = all;
  return {
    reward,
    train,
    test,
    facts: {
      source,
      format,
      rows: examples.length,
      badRows: badRows.length,
      judgedPrompts,
      tooLong,
    },
  };
}

function byPrompt(pairs: readonly PreferencePair[]): PreferencePair[][] {
  const groups = new Map<string, PreferencePair[]>();
  for (const pair of pairs) {
    const key = promptKey(pair.prompt);
    groups.set(key, [...(groups.get(key) ?? []), pair]);
  }
  return [...groups.values()];
}
