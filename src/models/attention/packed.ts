import { hasFlashAttention, hasOwnKernels } from '../../engine/index.ts';
import { UsageError } from '../../errors.ts';
import type { AttentionPlan, Segment, Trunk } from '../contract.ts';
import { FusedAttention } from './fused.ts';
import { PiecewiseAttention } from './piecewise.ts';
import { VariableLengthAttention } from './variable-length.ts';

/**
 * Exact attention over one packed row, forward and backward: every segment attends to its path to the root and to
 * itself. Call inside a `tidy` scope that lives as long as the pass: the plan's masks belong to that scope.
 *
 * @throws UsageError `sequence-too-long` when a path is longer than a table of learned positions.
 */
export function packedAttention(
  segments: readonly Segment[],
  model: Pick<Trunk, 'config' | 'dtype' | 'device'>,
): AttentionPlan {
  checkLengths(segments, model);
  if (hasFlashAttention(model, model.config.headWidth)) {
    return new VariableLengthAttention(segments, model.device);
  }
  if (hasOwnKernels(model)) return new FusedAttention(segments, model);
  return new PiecewiseAttention(segments, model);
}

function checkLengths(segments: readonly Segment[], { config }: Pick<Trunk, 'config'>): void {
  if (!config.learnedPositions) return;
  const ends: number[] = [];
  for (const { parent, length } of segments) {
    const end = length + (parent === undefined ? 0 : ends[parent]!);
    ends.push(end);
    if (end <= config.maxPositions) continue;
    throw new UsageError(
      'sequence-too-long',
      `A sequence of ${end} tokens is longer than the model's ${config.maxPositions} learned positions.`,
      { hint: `Set the maximum length to ${config.maxPositions} or less.` },
    );
  }
}
