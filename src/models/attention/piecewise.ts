import { full, ops, type Tensor } from '../../engine/index.ts';
import type { AttentionCall, AttentionPlan, Segment, Trunk } from '../contract.ts';
import {
  type AttentionPiece,
  attentionPieces,
  isSquareCausal,
  seesEverything,
  type TokenRange,
} from './pieces.ts';

/**
 * libtorch's kernels on any device: one call for each piece, with a mask only where plain causality does not say it.
 */
export class PiecewiseAttention implements AttentionPlan {
  readonly #byWindow = new Map<number | undefined, WindowPlan>();
  readonly #masks = new Map<string, Tensor>();

  constructor(segments: readonly Segment[], model: Pick<Trunk, 'config' | 'dtype' | 'device'>) {
    // Built now, in the caller's scope: layers run in scopes of their own, which would dispose what they make.
    for (const window of new Set(model.config.layerWindows)) {
      const pieces = attentionPieces(segments, window);
      this.#byWindow.set(window, { pieces, islands: keyIslands(pieces) });
      for (const piece of pieces) {
        if (isSquareCausal(piece, window) || seesEverything(piece, window)) continue;
        const key = maskKey(piece, window);
        if (!this.#masks.has(key)) this.#masks.set(key, causalMask(piece, window, model));
      }
    }
  }

  attend(query: Tensor, key: Tensor, value: Tensor, call: AttentionCall): Tensor {
    const { pieces, islands } = this.#byWindow.get(call.window)!;
    // [T, heads, d] → [1, heads, T, d], as views: the kernels read any strides, and grouped heads as they are.
    const [q, k, v] = [query, key, value].map((x) => ops.unsqueeze(ops.transpose(x, 0, 1), 0));
    const queries = splitTokens(
      q!,
      pieces.map((piece) => piece.queries.length),
    );
    const islandLengths = islands.map((island) => island.length);
    const keysByIsland = splitTokens(k!, islandLengths);
    const valuesByIsland = splitTokens(v!, islandLengths);
    const outputs = islands.flatMap((island, at) =>
      island.pieces.map((index) => {
        const piece = pieces[index]!;
        const keys = gather(keysByIsland[at]!, piece.keys, island);
        const values = gather(valuesByIsland[at]!, piece.keys, island);
        return ops.transpose(ops.squeeze(this.#kernel(queries[index]!, keys, values, piece, call), 0), 0, 1);
      }),
    );
    return outputs.length === 1 ? outputs[0]! : ops.cat(outputs, 0);
  }

  #kernel(query: Tensor, key: Tensor, value: Tensor, piece: AttentionPiece, call: AttentionCall): Tensor {
    const causal = isSquareCausal(piece, call.window);
    const mask = this.#masks.get(maskKey(piece, call.window));
    return fusedAttention(query, key, value, {
      causal,
      scale: call.scale,
      ...(causal || !mask ? {} : { mask }),
    });
  }
}

/**
 * The device's exact fused kernel: `query [b, heads, q, d]`, `key`/`value [b, kvHeads, k, d]` → `[b, heads, q, d]`.
 * Query heads share key heads in consecutive groups, without copies. `mask`, added to the scores, broadcasts to
 * `[b, heads, q, k]`; `causal` aligns at the top left.
 */
export function fusedAttention(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  options: { readonly causal: boolean; readonly scale: number; readonly mask?: Tensor },
): Tensor {
  const { causal, scale, mask } = options;
  if (query.device === 'cpu') {
    const masked = mask === undefined ? { scale } : { scale, attnMask: mask };
    return ops._scaledDotProductFlashAttentionForCpu(query, key, value, 0, causal, masked)[0];
  }
  const grouped = { scale, enableGqa: query.shape[1] !== key.shape[1] };
  return ops.scaledDotProductAttention(query, key, value, mask ?? null, 0, causal, grouped);
}

interface WindowPlan {
  readonly pieces: readonly AttentionPiece[];
  readonly islands: readonly KeyIsland[];
}

/**
 * A stretch of the row that no piece's keys reach across. Slices are taken per island because the backward pass of a
 * slice writes zeros over everything it was taken from.
 */
interface KeyIsland extends TokenRange {
  readonly pieces: readonly number[];
}

function keyIslands(pieces: readonly AttentionPiece[]): KeyIsland[] {
  const islands: { start: number; length: number; pieces: number[] }[] = [];
  for (const [index, piece] of pieces.entries()) {
    const end = piece.queries.start + piece.queries.length;
    const island = { start: piece.queries.start, length: piece.queries.length, pieces: [index] };
    const from = Math.min(...piece.keys.map((range) => range.start));
    while (islands.length > 0 && from < islands.at(-1)!.start + islands.at(-1)!.length) {
      const joined = islands.pop()!;
      island.start = joined.start;
      island.pieces.unshift(...joined.pieces);
    }
    islands.push({ ...island, length: end - island.start });
  }
  return islands;
}

function splitTokens(x: Tensor, lengths: readonly number[]): readonly Tensor[] {
  return lengths.length === 1 ? [x] : ops.splitWithSizes(x, lengths, 2);
}

function gather(island: Tensor, ranges: readonly TokenRange[], { start, length }: TokenRange): Tensor {
  if (ranges.length === 1 && ranges[0]!.length === length) return island;
  const slices = ranges.map((range) => ops.narrow(island, 2, range.start - start, range.length));
  return slices.length === 1 ? slices[0]! : ops.cat(slices, 2);
}

function maskKey({ queries, keyLength }: AttentionPiece, window: number | undefined): string {
  return `${queries.length}×${keyLength} ${window ?? ''}`;
}

/** `[queries, keys]`: 0 where the query sees the key, −∞ elsewhere; both end at the same position. */
function causalMask(
  { queries, keyLength }: AttentionPiece,
  window: number | undefined,
  { dtype, device }: Pick<Trunk, 'dtype' | 'device'>,
): Tensor {
  const hidden = full([queries.length, keyLength], Number.NEGATIVE_INFINITY, { dtype, device });
  const ahead = keyLength - queries.length;
  const future = ops.triu(hidden, ahead + 1);
  return window === undefined ? future : ops.add(future, ops.tril(hidden, ahead - window));
}
