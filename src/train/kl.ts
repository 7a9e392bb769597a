import type { TokenizedSequence } from '../data/contract.ts';
import { packSequences } from '../data/pack.ts';
import { noGrad, ops, type Tensor, tidy } from '../engine/index.ts';
import { generate } from '../generate/index.ts';
import type { CausalLM } from '../models/contract.ts';
import { headPositions } from './completions.ts';
import { walk } from './walk.ts';

/** Lends the reference model for a moment: reloaded, or the policy with its adapters off. */
export type WithReference = <T>(use: (reference: CausalLM) => T) => Promise<T>;

type Sequence = Pick<TokenizedSequence, 'prompt' | 'completion'>;

/** Positions whose two distributions over the vocabulary are held at once. */
const CHUNK = 64;

/**
 * KL(π ‖ π_ref) along a completion that the policy itself samples now for each of `prompts`, nats. Their mean is the KL of
 * the papers' reward–KL frontiers; the log-ratio on the data's completions is not.
 */
export async function onPolicyKl(
  policy: CausalLM,
  withReference: WithReference,
  prompts: readonly Int32Array[],
  options: { readonly maxNewTokens: number; readonly seed: number },
): Promise<Float64Array> {
  const sampled = await generate(policy, prompts, options);
  const sequences = sampled.map(([completion], index) => {
    const { tokens, stopToken } = completion!;
    // The stop token was sampled too, so it counts.
    const whole = stopToken === undefined ? tokens : Int32Array.from([...tokens, stopToken]);
    return { prompt: prompts[index]!, completion: whole };
  });
  return sequenceKl(policy, withReference, sequences);
}

/**
 * Σ_t KL(π(·|x, y_<t) ‖ π_ref(·|x, y_<t)) of each sequence's completion, nats: over the full vocabulary at every position,
 * summed. On completions sampled from π its mean estimates KL(π ‖ π_ref), with less variance than log-ratios.
 */
export async function sequenceKl(
  policy: CausalLM,
  withReference: WithReference,
  sequences: readonly Sequence[],
): Promise<Float64Array> {
  const ours = sequences.map((sequence) => completionStates(policy, sequence));
  try {
    return await withReference((reference) =>
      Float64Array.from(sequences, (sequence, index) =>
        tidy(() => {
          const theirs = completionStates(reference, sequence);
          return divergence(policy, ours[index]!, reference, theirs);
        }),
      ),
    );
  } finally {
    for (const states of ours) states.dispose();
  }
}

/** Final hidden states at the positions that predict the completion: `[C, width]`. */
function completionStates(model: CausalLM, sequence: Sequence): Tensor {
  return tidy(() => {
    const row = packSequences([sequence]);
    const { rows } = headPositions(row.completions);
    return walk(model, row, rows, { gradients: false }).hidden;
  });
}

function divergence(policy: CausalLM, ours: Tensor, reference: CausalLM, theirs: Tensor): number {
  const positions = ours.shape[0]!;
  let total = 0;
  for (let start = 0; start < positions; start += CHUNK) {
    const length = Math.min(CHUNK, positions - start);
    total += tidy(() =>
      noGrad(() => {
        const p = logProbabilities(policy, ops.narrow(ours, 0, start, length));
        const q = logProbabilities(reference, ops.narrow(theirs, 0, start, length));
        return ops.sum(ops.mul(ops.exp(p), ops.sub(p, q))).item();
      }),
    );
  }
  return total;
}

function logProbabilities(model: CausalLM, hidden: Tensor): Tensor {
  const logits = model.head.forward(hidden);
  return ops.logSoftmax(logits, 1, logits.dtype === 'float64' ? 'float64' : 'float32');
}
