import { hasOwnKernels, keep, noGrad, ops, type Tensor, tensor, tidy, zeros } from '../../engine/index.ts';
import { rowsAt } from '../../nn/rows.ts';
import type { AttentionCall, AttentionPlan, Segment, Trunk } from '../contract.ts';
import { packedAttention } from './packed.ts';
import { fusedAttention } from './piecewise.ts';

/** A prompt of a packed prefill row and the cache slots that continue from it. */
export interface PrefillSequence {
  readonly length: number;
  readonly slots: readonly number[];
}

type CacheModel = Pick<Trunk, 'config' | 'dtype' | 'device'>;

/**
 * Keys and values of sequences that are being generated, one slot each. Slots in use are always 0 … live − 1, so that
 * a decoding step reads plain views. Token-major rows `[slots, capacity, kvHeads, d]` make appending a step's keys one
 * indexed copy a layer.
 */
export class KeyValueCache {
  readonly #model: CacheModel;
  readonly #slots: number;
  #capacity: number;
  #layers: { keys: Tensor; values: Tensor }[];
  readonly #lengths: number[] = [];

  constructor(model: CacheModel, slots: number, capacity: number) {
    this.#model = model;
    this.#slots = slots;
    this.#capacity = capacity;
    this.#layers = Array.from({ length: model.config.layers }, () => ({
      keys: this.#blank(),
      values: this.#blank(),
    }));
  }

  /** Sequences in use. */
  get live(): number {
    return this.#lengths.length;
  }

  get freeSlots(): number {
    return this.#slots - this.live;
  }

  /** Tokens held for the sequence in a slot. */
  lengthOf(slot: number): number {
    return this.#lengths[slot]!;
  }

  /** Takes the next `count` slots for sequences that start with the same `length` tokens. */
  claim(length: number, count: number): number[] {
    this.#reserve(length + 1);
    return Array.from({ length: count }, () => this.#lengths.push(length) - 1);
  }

  /**
   * Frees a slot by moving the last sequence into it.
   *
   * @returns the slot whose sequence now lives in `slot`, which is `slot` itself when nothing moved.
   */
  release(slot: number): number {
    const last = this.live - 1;
    if (slot !== last) {
      const length = this.#lengths[last]!;
      noGrad(() =>
        tidy(() => {
          const part = (x: Tensor, at: number) => ops.narrow(ops.select(x, 0, at), 0, 0, length);
          for (const { keys, values } of this.#layers) {
            ops.copy_(part(keys, slot), part(keys, last));
            ops.copy_(part(values, slot), part(values, last));
          }
        }),
      );
      this.#lengths[slot] = length;
    }
    this.#lengths.pop();
    return last;
  }

  /** Plan for one packed row of whole prompts (roots only) whose slots were claimed; call inside a `tidy` scope. */
  prefill(sequences: readonly PrefillSequence[]): AttentionPlan {
    const segments: Segment[] = [];
    const sources: number[] = [];
    const targets: number[] = [];
    let start = 0;
    for (const { length, slots } of sequences) {
      segments.push({ start, length });
      for (const slot of slots) {
        for (let at = 0; at < length; at++) {
          sources.push(start + at);
          targets.push(slot * this.#capacity + at);
        }
      }
      start += length;
    }
    const packed = packedAttention(segments, this.#model);
    const rows = this.#index(targets);
    const shared = sources.length === start ? undefined : this.#index(sources);
    return {
      attend: (query, key, value, call) => {
        this.#write(call.layer, rows, rowsAt(key, shared), rowsAt(value, shared));
        return packed.attend(query, key, value, call);
      },
    };
  }

  /** Plan for one token of every live sequence, in slot order, which becomes part of the cache; inside a `tidy` scope. */
  decode(): AttentionPlan {
    const before = [...this.#lengths];
    this.#reserve(Math.max(...before) + 1);
    for (let slot = 0; slot < before.length; slot++) this.#lengths[slot]! += 1;
    return hasOwnKernels(this.#model) ? this.#fusedDecode(before) : this.#composedDecode(before);
  }

  #fusedDecode(before: readonly number[]): AttentionPlan {
    return {
      attend: (query, key, value, { layer, window = 0, scale }) => {
        const { keys, values } = this.#layers[layer]!;
        return ops.fusedCachedAttention(query, key, value, keys, values, before, window, scale);
      },
    };
  }

  #composedDecode(before: readonly number[]): AttentionPlan {
    const longest = Math.max(...before) + 1;
    const rows = this.#index(before.map((length, slot) => slot * this.#capacity + length));
    const masks = new Map(
      [...new Set(this.#model.config.layerWindows)].map((window) => [
        window,
        this.#decodeMask(before, longest, window),
      ]),
    );
    return {
      attend: (query, key, value, call) => {
        this.#write(call.layer, rows, key, value);
        return this.#attendCached(query, call, longest, masks.get(call.window));
      },
    };
  }

  dispose(): void {
    for (const { keys, values } of this.#layers) {
      keys.dispose();
      values.dispose();
    }
    this.#layers = [];
    this.#lengths.length = 0;
  }

  /** `query [live, heads, d]` → `[live, heads, d]`: the query heads of a group are the queries of its key head. */
  #attendCached(query: Tensor, call: AttentionCall, longest: number, mask: Tensor | undefined): Tensor {
    const { kvHeads, headWidth, heads } = this.#model.config;
    const { keys, values } = this.#layers[call.layer]!;
    const visible = (x: Tensor) =>
      ops.transpose(ops.narrow(ops.narrow(x, 0, 0, this.live), 1, 0, longest), 1, 2);
    const grouped = ops.view(query, [this.live, kvHeads, heads / kvHeads, headWidth]);
    const masked = mask === undefined ? {} : { mask };
    const mixed = fusedAttention(grouped, visible(keys), visible(values), {
      causal: false,
      scale: call.scale,
      ...masked,
    });
    return ops.reshape(mixed, [this.live, heads, headWidth]);
  }

  #write(layer: number, rows: Tensor, key: Tensor, value: Tensor): void {
    const { kvHeads, headWidth } = this.#model.config;
    const { keys, values } = this.#layers[layer]!;
    const flat = [this.#slots * this.#capacity, kvHeads, headWidth];
    ops.indexCopy_(ops.view(keys, flat), 0, rows, key);
    ops.indexCopy_(ops.view(values, flat), 0, rows, value);
  }

  /** `[live, 1, 1, longest]`, or undefined when every sequence sees everything. */
  #decodeMask(before: readonly number[], longest: number, window: number | undefined): Tensor | undefined {
    const { dtype, device } = this.#model;
    const unbounded = window === undefined || longest <= window;
    if (unbounded && before.every((length) => length + 1 === longest)) return undefined;
    const scores = new Float32Array(before.length * longest).fill(Number.NEGATIVE_INFINITY);
    for (const [slot, position] of before.entries()) {
      const first = window === undefined ? 0 : Math.max(0, position - window + 1);
      scores.fill(0, slot * longest + first, slot * longest + position + 1);
    }
    return ops.to(tensor(scores, { shape: [before.length, 1, 1, longest], device }), dtype);
  }

  /** Grows the slots by at least a quarter, so that copying stays a small share of the work. */
  #reserve(tokens: number): void {
    if (tokens <= this.#capacity) return;
    const used = this.#capacity;
    this.#capacity = Math.max(tokens, Math.ceil(used * 1.25));
    this.#layers = this.#layers.map((layer) => ({
      keys: this.#grown(layer.keys, used),
      values: this.#grown(layer.values, used),
    }));
  }

  #grown(old: Tensor, used: number): Tensor {
    const bigger = this.#blank();
    noGrad(() =>
      tidy(() => {
        // Returned from here, the copy's result would live on and hold the whole cache.
        ops.copy_(ops.narrow(bigger, 1, 0, used), old);
      }),
    );
    old.dispose();
    return bigger;
  }

  /** Zeros, not garbage: hidden positions are masked with −∞, which a NaN would survive. */
  #blank(): Tensor {
    const { config, dtype, device } = this.#model;
    return keep(zeros([this.#slots, this.#capacity, config.kvHeads, config.headWidth], { dtype, device }));
  }

  #index(rows: readonly number[]): Tensor {
    return tensor(Int32Array.from(rows), { dtype: 'int64', device: this.#model.device });
  }
}
