import type { LoadedModel } from '../checkpoints/index.ts';
import {
  loadSft,
  promptKey,
  type SftExample,
  type TokenizedSequence,
  tokenizeSequences,
} from '../data/index.ts';
import type { Sample } from '../runs/index.ts';
import { bootstrapIndices, sumClusters } from '../stats/index.ts';
import { evaluateTask } from './evaluation.ts';
import { type Evaluation, type LoopResult, runLoop } from './loop.ts';
import { DEFAULT_LEARNING_RATES, DEFAULT_MAX_NEW_TOKENS, type TrainOptions } from './options.ts';
import { drawPrompts, SampleSheet } from './samples.ts';
import { Session } from './session.ts';
import { SftTask } from './sft-task.ts';
import { type RowsInput, readInput, readSplits, type Split } from './splits.ts';

/** Examples as `loadSft` reads them, from files, the hub or rows of a program, or loaded before. */
export type SftInput = RowsInput<SftExample>;

export interface SftOptions extends TrainOptions {
  readonly data: SftInput;
  /** Held-out examples. Default: `evalFraction` of the data. */
  readonly evalData?: SftInput;
}

export interface SftResult extends LoopResult {
  /** As in preference tuning, to be freed by the caller too. */
  readonly model: LoadedModel;
  readonly samples: readonly Sample[];
}

/**
 * Supervised fine-tuning on prompts with completions (the prompt is not learned), or on plain text. Another caller of the
 * loop that tunes preferences: same optimisers, run directory, resume and adapters.
 */
export async function trainSft(options: SftOptions): Promise<SftResult> {
  return Session.run(options, DEFAULT_LEARNING_RATES.sft, (session) => tune(session, options));
}

async function tune(session: Session, options: SftOptions): Promise<SftResult> {
  const { train, heldOut, facts } = await readSplits(
    {
      read: (input, reading) => readInput(loadSft, input, reading),
      tokenize: tokenizeSequences,
    },
    options,
    session,
  );
  const run = session.openRun(facts);
  try {
    session.castForReference();
    const sheet = sampleSheet(options, session, heldOut);
    await sheet.before(run, options.signal);
    session.startTraining();
    const task = new SftTask(train.tokens);
    session.checkNeeds(task);
    session.phase('train');
    const result = await runLoop({
      ...session.loopOptions(run, task),
      ...(heldOut.tokens.length > 0 && {
        evaluation: sftEvaluation(options, session, heldOut),
      }),
    });
    if (result.status === 'finished') session.phase('save');
    const samples = result.status === 'finished' ? await sheet.after(run, options.signal) : undefined;
    const finished = samples !== undefined;
    const loss = result.metrics.at(-1)?.eval_loss;
    const { source } = facts.train;
    const card = session.card({
      objective: 'sft',
      datasets: [source],
      settings: { steps: result.step },
      ...(typeof loss === 'number' && { metrics: { loss: Number(loss.toFixed(4)) } }),
    });
    const chats = train.examples.some(({ completion }) => typeof completion !== 'string');
    const model = finished && run ? await session.save(run, card, { chats }) : session.finish();
    return { ...result, status: finished ? 'finished' : 'interrupted', model, samples: samples ?? [] };
  } finally {
    run?.close();
  }
}

/** Held-out loss a token, with a 95 % bootstrap interval over prompts. */
function sftEvaluation(
  { evaluation }: SftOptions,
  session: Session,
  { examples, tokens: sequences }: Split<SftExample, TokenizedSequence>,
): Evaluation {
  const task = new SftTask(sequences);
  const promptOf = (item: number) => {
    const { prompt } = examples[item]!;
    return prompt === undefined ? item : promptKey(prompt);
  };
  return {
    every: evaluation?.every ?? 0,
    async evaluate(_step, signal) {
      const results = await evaluateTask(session.model, task, { ...(signal && { signal }) });
      const metrics = task.metrics(results);
      const prompts = results.flatMap(({ items }) => items.map(promptOf));
      const ofPrompts = (values: 'losses' | 'tokens') =>
        sumClusters(
          results.flatMap((result) => [...result[values]]),
          prompts,
        ).sums;
      const [losses, tokens] = [ofPrompts('losses'), ofPrompts('tokens')];
      if (losses.length < 2) return metrics;
      const mean = (indices: Int32Array) => {
        let loss = 0;
        let count = 0;
        for (const index of indices) {
          loss += losses[index]!;
          count += tokens[index]!;
        }
        return loss / count;
      };
      const { low, high } = bootstrapIndices(losses.length, mean, { resamples: 2000 });
      return { ...metrics, 'loss/low': low, 'loss/high': high };
    },
  };
}

function sampleSheet(
  { evaluation, evalSeed = 0 }: SftOptions,
  session: Session,
  { examples, tokens }: Split<SftExample, TokenizedSequence>,
): SampleSheet {
  const withPrompt = examples.flatMap(({ id, prompt, completion }, index) => {
    return prompt === undefined ? [] : [{ id, prompt, chosen: completion, tokens: tokens[index]!.prompt }];
  });
  const { model, tokenizer } = session.loaded;
  const prompts = drawPrompts(withPrompt, evaluation?.samples ?? 0, evalSeed);
  return new SampleSheet(model, tokenizer, prompts, evaluation?.maxNewTokens ?? DEFAULT_MAX_NEW_TOKENS);
}
