import type { PackedRow } from '../data/packed.ts';
import { enableGrad, grad, noGrad, ops, type Tensor, tensor, tidy } from '../engine/index.ts';
import { packedAttention } from '../models/attention/packed.ts';
import type { ForwardContext, Layer, Lookup, Trunk } from '../models/contract.ts';
import type { Parameter } from '../nn/parameter.ts';
import type { GradientStore } from './gradients.ts';

export interface WalkOptions {
  /** Whether a backward pass will follow. */
  readonly gradients: boolean;
  /** Keep only each layer's input and compute the layer again on the way back: less memory, ⅓ more time. Default false. */
  readonly recompute?: boolean;
}

/**
 * One differentiable piece of the walk. Its input is a leaf of its own, so each piece's graph ends where the next
 * begins, and backward can go through one at a time and free it.
 */
interface Segment {
  /** Leaf that stands for the piece below. */
  readonly input: Tensor;
  /** Kept with its graph, or absent when it is to be computed again. */
  readonly output: Tensor | undefined;
  readonly compute: (input: Tensor) => Tensor;
  readonly parameters: readonly Parameter[];
}

/** The hidden states that the head reads, and the way back. */
export interface WalkResult {
  /** After the final norm, at the rows asked for: `[C, width]`. */
  readonly hidden: Tensor;
  /** Goes down the layers from `dHidden [C, width]`, adding every trained parameter's gradient to `gradients`. */
  backward(dHidden: Tensor, gradients: GradientStore): void;
}

/**
 * Walks one packed row up through a model. Everything it makes belongs to the caller's `tidy` scope, which therefore
 * has to enclose the backward pass too.
 *
 * Below the first trained parameter nothing is kept: a LoRA run on the upper layers stops its backward pass there.
 */
export function walk(model: Trunk, row: PackedRow, rows: Int32Array, options: WalkOptions): WalkResult {
  const { device } = model;
  const host = (values: Int32Array) => tensor(values, { shape: [values.length], dtype: 'int64', device });
  const tokens = host(row.tokens);
  const positions = host(row.positions);
  const selected = host(rows);
  const context = noGrad(() => model.context(positions, packedAttention(row.segments, model)));
  const lookups = model.lookups(tokens, positions);
  const bottom = options.gradients ? firstTrained(model, lookups) : Number.POSITIVE_INFINITY;
  const segments: Segment[] = [];

  const step = (index: number, segment: Omit<Segment, 'input' | 'output'>, input: Tensor, again = false) => {
    if (index < bottom) {
      const output = tidy(() => noGrad(() => segment.compute(input)));
      input.dispose();
      return output;
    }
    // The lowest piece needs no gradient of its own input.
    const leaf = index > bottom ? ops.detach(input).setRequiresGrad(true) : input;
    const output = tidy(() => (again ? noGrad : enableGrad)(() => segment.compute(leaf)));
    segments.push({ ...segment, input: leaf, output: again ? undefined : output });
    return output;
  };

  let hidden = tidy(() => noGrad(() => model.embed(tokens, positions)));
  for (const [index, layer] of model.layers.entries()) {
    // Above the last attention every row is on its own, so only those that the head reads are needed.
    const last = index === model.layers.length - 1;
    hidden = step(
      index,
      layerSegment(layer, context, last ? selected : undefined),
      hidden,
      options.recompute,
    );
  }
  hidden = step(
    model.layers.length,
    { compute: (x) => model.finalNorm(x), parameters: model.finalNormParameters },
    hidden,
  );
  return {
    hidden: noGrad(() => ops.detach(hidden)),
    backward: (dHidden, gradients) => {
      const dEmbedded = walkBack(segments, dHidden, gradients);
      if (dEmbedded !== undefined) addLookups(lookups, dEmbedded, gradients);
    },
  };
}

const EMBEDDING = -1;

function layerSegment(
  layer: Layer,
  context: ForwardContext,
  rows: Tensor | undefined,
): Omit<Segment, 'input' | 'output'> {
  return { compute: (x) => layer.forward(x, context, rows), parameters: layer.parameters };
}

/** Index of the lowest piece that holds a trained parameter: −1 the embedding, `layers.length` the final norm. */
function firstTrained(model: Trunk, lookups: readonly Lookup[]): number {
  const trained = ({ value }: Parameter) => value.requiresGrad;
  if (lookups.some(({ table }) => trained(table))) return EMBEDDING;
  const layer = model.layers.findIndex(({ parameters }) => parameters.some(trained));
  if (layer >= 0) return layer;
  return model.finalNormParameters.some(trained) ? model.layers.length : Number.POSITIVE_INFINITY;
}

/** The gradient of the lowest piece's input, where something below it is trained. */
function walkBack(segments: Segment[], dHidden: Tensor, gradients: GradientStore): Tensor | undefined {
  let slope = dHidden;
  for (let segment = segments.pop(); segment !== undefined; segment = segments.pop()) {
    const { input, compute, parameters } = segment;
    const next = tidy(() => {
      const output = segment.output ?? enableGrad(() => compute(input));
      const trained = parameters.filter(({ value }) => value.requiresGrad);
      const leaves = trained.map(({ value }) => value);
      const slopes = grad([output], input.requiresGrad ? [...leaves, input] : leaves, [slope]);
      for (const [index, parameter] of trained.entries()) {
        const gradient = slopes[index];
        if (gradient != null) gradients.add(parameter, gradient);
      }
      return input.requiresGrad ? slopes.at(-1)! : undefined;
    });
    // Gone now rather than at the end of the step: this is what keeps the peak at the forward pass.
    segment.output?.dispose();
    if (input.requiresGrad) input.dispose();
    if (slope !== dHidden) slope.dispose();
    if (next === undefined) return undefined;
    slope = next;
  }
  return slope;
}

function addLookups(lookups: readonly Lookup[], slope: Tensor, gradients: GradientStore): void {
  for (const lookup of lookups) {
    if (lookup.table.value.requiresGrad) gradients.addRows(lookup, slope);
  }
}
