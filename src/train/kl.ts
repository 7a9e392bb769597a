import type { TokenizedSequence } from '../data/contract.ts';
import { packByLength, packSequences } from '../data/pack.ts';
import type { PackedRow } from '../data/packed.ts';
import { noGrad, ops, type Tensor, tidy } from '../engine/index.ts';
import { type GenerateOptions, generate } from '../generate/index.ts';
import type { CausalLM } from '../models/contract.ts';
import { packWeights } from '../models/packed-weights.ts';
import type { Linear } from '../nn/linear.ts';
import { headPositions, sumByCompletion } from './completions.ts';
import { headKernel } from './head-kernels.ts';
import { walk } from './walk.ts';

/** Lends the reference model for a moment: reloaded, or the policy with its adapters off. */
export type WithReference = <T>(use: (reference: CausalLM) => T | Promise<T>) => Promise<T>;

/** Positions whose two distributions over the vocabulary are held at once. */
const CHUNK = 128;

/**
 * KL(π ‖ π_ref) along a completion that the policy itself samples now for each of `prompts`, nats. Their mean is the KL of
 * the papers' reward–KL frontiers; the log-ratio on the data's completions is not.
 */
export async function onPolicyKl(
  policy: CausalLM,
  withReference: WithReference,
  prompts: readonly Int32Array[],
  options: Pick<GenerateOptions, 'maxNewTokens' | 'seed' | 'stopTokenIds' | 'signal'>,
): Promise<Float64Array> {
  const sampled = await generate(policy, prompts, options);
  const sequences = sampled.map(([completion], index) => {
    const { tokens, stopToken } = completion!;
    // The stop token was sampled too, so it counts.
    const whole = stopToken === undefined ? tokens : Int32Array.from([...tokens, stopToken]);
    return { prompt: prompts[index]!, completion: whole };
  });
  return sequenceKl(policy, withReference, sequences, options.signal);
}

/**
 * Σ_t KL(π(·|x, y_<t) ‖ π_ref(·|x, y_<t)) of each sequence's completion, nats: over the full vocabulary at every position,
 * summed. On completions sampled from π its mean estimates KL(π ‖ π_ref), with less variance than log-ratios.
 *
 * @param signal stops between two rows by throwing its reason
 */
export async function sequenceKl(
  policy: CausalLM,
  withReference: WithReference,
  sequences: readonly Pick<TokenizedSequence, 'prompt' | 'completion'>[],
  signal?: AbortSignal,
): Promise<Float64Array> {
  const lengths = sequences.map(({ prompt, completion }) => prompt.length + completion.length);
  const batches = packByLength(lengths);
  const rows = batches.map((batch) => packSequences(batch.map((index) => sequences[index]!)));
  const work = { tokens: rows.reduce((sum, { tokens }) => sum + tokens.length, 0) };
  const unpack = packWeights(policy, work);
  const ours: Tensor[] = [];
  try {
    await collectStates(policy, rows, ours, signal);
    return await withReference(async (reference) => {
      const unpackTheirs = packWeights(reference, work);
      const theirs: Tensor[] = [];
      try {
        await collectStates(reference, rows, theirs, signal);
        const kls = new Float64Array(sequences.length);
        for (const [i, { completions }] of rows.entries()) {
          signal?.throwIfAborted();
          const perToken = divergence(policy.head, ours[i]!, reference.head, theirs[i]!);
          for (const [k, kl] of sumByCompletion(completions, perToken).entries()) kls[batches[i]![k]!] = kl;
          await new Promise(setImmediate);
        }
        return kls;
      } finally {
        for (const states of theirs) states.dispose();
        unpackTheirs();
      }
    });
  } finally {
    for (const states of ours) states.dispose();
    unpack();
  }
}

/** The states of each row, put where the caller frees them whatever happens. */
async function collectStates(
  model: CausalLM,
  rows: readonly PackedRow[],
  into: Tensor[],
  signal: AbortSignal | undefined,
): Promise<void> {
  for (const row of rows) {
    into.push(completionStates(model, row));
    await new Promise(setImmediate);
    signal?.throwIfAborted();
  }
}

/** Final hidden states at the positions that predict the completions: `[C, width]`. */
function completionStates(model: CausalLM, row: PackedRow): Tensor {
  const { rows } = headPositions(row.completions);
  return tidy(() => walk(model, row, rows, { gradients: false }).hidden);
}

/** KL of the next token's distribution at each position, nats. */
function divergence(head: Linear, ours: Tensor, otherHead: Linear, theirs: Tensor): Float64Array {
  const kernel = headKernel(ours);
  const perToken = new Float64Array(ours.shape[0]!);
  for (let start = 0; start < perToken.length; start += CHUNK) {
    const length = Math.min(CHUNK, perToken.length - start);
    const logits = (own: Linear, hidden: Tensor) => own.forward(ops.narrow(hidden, 0, start, length));
    const part = tidy(() =>
      noGrad(() => kernel.divergence(logits(head, ours), logits(otherHead, theirs)).toFloat64()),
    );
    perToken.set(part, start);
  }
  return perToken;
}
