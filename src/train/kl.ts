import type { TokenizedSequence } from '../data/contract.ts';
import { packSequences } from '../data/pack.ts';
import { noGrad, ops, type Tensor, tidy } from '../engine/index.ts';
import type { CausalLM } from '../models/contract.ts';
import { headPositions } from './completions.ts';
import { walk } from './walk.ts';

/** Positions whose two distributions over the vocabulary are held at once. */
const CHUNK = 64;

/**
 * Σ_t KL(π(·|x, y_<t) ‖ π_ref(·|x, y_<t)) of each sequence's completion, nats: over the full vocabulary at every position,
 * summed. On completions sampled from π its mean estimates KL(π ‖ π_ref), with less variance than log-ratios.
 */
export function sequenceKl(
  policy: CausalLM,
  reference: CausalLM,
  sequences: readonly Pick<TokenizedSequence, 'prompt' | 'completion'>[],
): Float64Array {
  return Float64Array.from(sequences, (sequence) =>
    tidy(() =>
      noGrad(() => {
        const row = packSequences([sequence]);
        const { rows } = headPositions(row.completions);
        if (rows.length === 0) return 0;
        const [ours, theirs] = [policy, reference].map(
          (model) => walk(model, row, rows, { gradients: false }).hidden,
        );
        let total = 0;
        for (let start = 0; start < rows.length; start += CHUNK) {
          const length = Math.min(CHUNK, rows.length - start);
          total += tidy(() => {
            const p = logProbabilities(policy, ops.narrow(ours!, 0, start, length));
            const q = logProbabilities(reference, ops.narrow(theirs!, 0, start, length));
            return ops.sum(ops.mul(ops.exp(p), ops.sub(p, q))).item();
          });
        }
        return total;
      }),
    ),
  );
}

function logProbabilities(model: CausalLM, hidden: Tensor): Tensor {
  const logits = model.head.forward(hidden);
  return ops.logSoftmax(logits, 1, logits.dtype === 'float64' ? 'float64' : 'float32');
}
