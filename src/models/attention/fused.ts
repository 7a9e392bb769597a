import { ops, type Tensor } from '../../engine/index.ts';
import type { AttentionCall, AttentionPlan, Segment, Trunk } from '../contract.ts';
import { attentionPieces } from './pieces.ts';

/** The project's own CPU kernel: one call a layer for the whole row, without masks, slices or copies of keys. */
export class FusedAttention implements AttentionPlan {
  readonly #byWindow = new Map<number | undefined, readonly number[]>();

  constructor(segments: readonly Segment[], { config }: Pick<Trunk, 'config'>) {
    for (const window of new Set(config.layerWindows)) {
      const numbers = attentionPieces(segments, window).flatMap(({ queries, keys }) => [
        ...[queries.start, queries.length, keys.length],
        ...keys.flatMap(({ start, length }) => [start, length]),
      ]);
      this.#byWindow.set(window, numbers);
    }
  }

  attend(query: Tensor, key: Tensor, value: Tensor, { window, scale }: AttentionCall): Tensor {
    return ops.fusedPackedAttention(query, key, value, this.#byWindow.get(window)!, window ?? 0, scale);
  }
}
