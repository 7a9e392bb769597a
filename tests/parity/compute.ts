import { ops, type Tensor, tensor } from '../../src/engine/index.ts';
import { packedAttention, type Segment, type Trunk } from '../../src/models/index.ts';

export interface Row {
  readonly tokens: readonly number[];
  readonly positions: readonly number[];
  readonly segments: readonly Segment[];
}

export const indices = (values: readonly number[]): Tensor =>
  tensor(Int32Array.from(values), { dtype: 'int64' });

/** The whole model in one graph: `[T, width]` after the final norm. */
export function hiddenStates(model: Trunk, row: Row): Tensor {
  const positions = indices(row.positions);
  const context = model.context(positions, packedAttention(row.segments, model));
  const embedded = model.embed(indices(row.tokens), positions);
  return model.finalNorm(model.layers.reduce((hidden, layer) => layer.forward(hidden, context), embedded));
}

/** One sequence alone. */
export function sequenceRow(tokens: readonly number[]): Row {
  return { tokens, positions: tokens.map((_, at) => at), segments: [{ start: 0, length: tokens.length }] };
}

export interface TokenPair {
  readonly prompt: readonly number[];
  readonly chosen: readonly number[];
  readonly rejected: readonly number[];
}

export interface PackedCompletion {
  readonly rows: readonly number[];
  readonly targets: readonly number[];
}

/** Pairs in one row: prompt, chosen, rejected, the last token of each completion left out. */
export function packPairs(pairs: readonly TokenPair[]): Row & { readonly completions: PackedCompletion[] } {
  const tokens: number[] = [];
  const positions: number[] = [];
  const segments: Segment[] = [];
  const completions: PackedCompletion[] = [];
  const append = (ids: readonly number[], firstPosition: number, parent?: number) => {
    segments.push({ start: tokens.length, length: ids.length, ...(parent === undefined ? {} : { parent }) });
    positions.push(...ids.map((_, at) => firstPosition + at));
    tokens.push(...ids);
  };
  for (const { prompt, chosen, rejected } of pairs) {
    const parent = segments.length;
    append(prompt, 0);
    const lastPromptRow = tokens.length - 1;
    for (const completion of [chosen, rejected]) {
      const start = tokens.length;
      append(completion.slice(0, -1), prompt.length, parent);
      const own = completion.slice(0, -1).map((_, at) => start + at);
      completions.push({ rows: [lastPromptRow, ...own], targets: completion });
    }
  }
  return { tokens, positions, segments, completions };
}

/** Log-probabilities `[n, vocabulary]` of the next token at the given rows of final hidden states. */
export function nextTokenLogps(
  model: { head: { forward(x: Tensor): Tensor } },
  hidden: Tensor,
  rows: readonly number[],
): Tensor {
  return ops.logSoftmax(model.head.forward(ops.indexSelect(hidden, 0, indices(rows))), -1);
}

/** Summed log-probability (a scalar with its graph) and mean entropy of a completion. */
export function scoreCompletion(
  logps: Tensor,
  targets: readonly number[],
): { logp: Tensor; entropy: Tensor } {
  const picked = ops.gather(logps, 1, ops.unsqueeze(indices(targets), 1));
  const entropy = ops.neg(ops.mean(ops.sum(ops.mul(ops.exp(logps), logps), [-1])));
  return { logp: ops.sum(picked), entropy };
}

/** Mean DPO loss over pairs whose completions' log-probabilities alternate chosen, rejected. */
export function dpoLoss(
  logps: readonly Tensor[],
  references: readonly { readonly chosen: number; readonly rejected: number }[],
  beta: number,
): Tensor {
  const losses = references.map(({ chosen, rejected }, pair) => {
    const gap = ops.sub(ops.sub(logps[2 * pair]!, logps[2 * pair + 1]!), chosen - rejected);
    return ops.neg(ops.logSigmoid(ops.mul(gap, beta)));
  });
  return ops.mean(ops.stack(losses, 0));
}
