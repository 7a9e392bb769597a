import { type Generator, keep, noGrad, ops, type Tensor, tidy, wideDType, zeros } from '../engine/index.ts';
import { UsageError } from '../errors.ts';
import type { Linear } from './linear.ts';
import { Parameter } from './parameter.ts';

export interface LoraOptions {
  readonly rank: number;
  readonly alpha: number;
  /** Name suffixes such as `q_proj`, or every linear map of every layer. */
  readonly targetModules: readonly string[] | 'all-linear';
  /** Rank-stabilised scale: alpha / √rank instead of alpha / rank (Kalajdzievski 2023). */
  readonly rankStabilised?: boolean;
  /** Source of the initial values; the same seed gives the same adapters. */
  readonly generator: Generator;
}

/**
 * Puts adapters on the linear maps whose name ends in a target, initialised as PEFT does: A uniform within ±1/√in
 * (Kaiming with a = √5), B zero, so that the model computes what it did before.
 *
 * @returns the linear maps that received one, in order.
 * @throws UsageError when a target matches nothing or the rank is not a positive whole number.
 */
export function attachLora(linears: Iterable<Linear>, options: LoraOptions): Linear[] {
  const { rank, alpha } = options;
  const selected = loraTargets(linears, options);
  const scale = alpha / (options.rankStabilised ? Math.sqrt(rank) : rank);
  for (const linear of selected) {
    const { dtype, device } = linear.weight.value;
    const bound = 1 / Math.sqrt(linear.inFeatures);
    const [a, b] = tidy(() => {
      const draw = zeros([rank, linear.inFeatures], { dtype: wideDType(dtype), device });
      ops.uniform_(draw, -bound, bound, { generator: options.generator });
      return [ops.to(draw, dtype), zeros([linear.outFeatures, rank], { dtype, device })] as const;
    });
    setLoraAdapter(linear, keep(a), keep(b), scale);
  }
  return selected;
}

/** The linear maps that `attachLora` would put adapters on; throws what it would throw. */
export function loraTargets(
  linears: Iterable<Linear>,
  { rank, targetModules }: Pick<LoraOptions, 'rank' | 'targetModules'>,
): Linear[] {
  if (!Number.isInteger(rank) || rank < 1) {
    throw new UsageError('invalid-lora-rank', `LoRA rank must be a positive whole number, got ${rank}.`);
  }
  const all = [...linears];
  return targetModules === 'all-linear' ? all : selectBySuffix(all, targetModules);
}

/** Puts given matrices on a linear map: `a [rank, in]`, `b [out, rank]`. They belong to the map from then on. */
export function setLoraAdapter(linear: Linear, a: Tensor, b: Tensor, scale: number): void {
  const rank = a.shape[0];
  if (a.shape[1] !== linear.inFeatures || b.shape[0] !== linear.outFeatures || b.shape[1] !== rank) {
    throw new UsageError(
      'lora-shape-mismatch',
      `LoRA matrices of ${linear.name} must be [rank, ${linear.inFeatures}] and [${linear.outFeatures}, rank], ` +
        `got [${a.shape.join(', ')}] and [${b.shape.join(', ')}].`,
    );
  }
  detachLora([linear]);
  const parameters = {
    a: new Parameter(`${linear.name}.lora_A.weight`, a),
    b: new Parameter(`${linear.name}.lora_B.weight`, b),
  };
  parameters.a.trainable = true;
  parameters.b.trainable = true;
  linear.adapter = { ...parameters, scale };
}

/** Removes adapters without applying them. */
export function detachLora(linears: Iterable<Linear>): void {
  for (const linear of linears) {
    linear.adapter?.a.value.dispose();
    linear.adapter?.b.value.dispose();
    linear.adapter = undefined;
  }
}

/** Adds scale · B A to each weight, summed in fp32 (fp64 stays), and removes the adapters. */
export function mergeLora(linears: Iterable<Linear>): void {
  for (const linear of linears) {
    if (linear.adapter === undefined) continue;
    const { a, b, scale } = linear.adapter;
    const { weight, layout } = linear;
    const before = weight.value;
    const merged = noGrad(() =>
      tidy(() => {
        const wide = wideDType(before.dtype);
        const update = ops.mm(ops.to(b.value, wide), ops.to(a.value, wide));
        const stored = layout === 'out-in' ? update : ops.t(update);
        return ops.to(ops.add(ops.to(before, wide), stored, { alpha: scale }), before.dtype);
      }),
    );
    weight.value = keep(merged);
    before.dispose();
    detachLora([linear]);
  }
}

function selectBySuffix(linears: readonly Linear[], targets: readonly string[]): Linear[] {
  const matches = (linear: Linear, target: string) =>
    linear.name === target || linear.name.endsWith(`.${target}`);
  for (const target of targets) {
    if (linears.some((linear) => matches(linear, target))) continue;
    const known = [...new Set(linears.map((linear) => linear.name.split('.').at(-1)!))];
    throw new UsageError(
      'unknown-lora-target',
      `LoRA target ${JSON.stringify(target)} matches no linear map.`,
      {
        hint: `Use one or more of ${known.join(', ')}, or all-linear.`,
      },
    );
  }
  return linears.filter((linear) => targets.some((target) => matches(linear, target)));
}
