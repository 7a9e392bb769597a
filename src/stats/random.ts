import { createHash } from 'node:crypto';
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus, xoroshiro128plusFromState } from 'pure-rand/generator/xoroshiro128plus';
import type { JumpableRandomGenerator } from 'pure-rand/types/JumpableRandomGenerator';
import { UsageError } from '../errors.ts';

/** Everything needed to continue a stream where it stopped; plain JSON. */
export interface RandomState {
  readonly key: string;
  readonly generator: readonly number[];
}

/**
 * A seeded, named stream of random numbers (xoroshiro128+).
 *
 * The 128-bit starting state is SHA-256 of seed and name: neighbouring seeds give unrelated streams, and a sub-stream
 * depends on its name alone, not on how many numbers its siblings have drawn.
 */
export class RandomStream {
  readonly #key: string;
  readonly #generator: JumpableRandomGenerator;

  private constructor(key: string, generator: JumpableRandomGenerator) {
    this.#key = key;
    this.#generator = generator;
  }

  static create(seed: number | string, name = ''): RandomStream {
    return RandomStream.#fromKey(`${typeof seed === 'number' ? 'n' : 's'}${seed}/${name}`);
  }

  static fromState(state: RandomState): RandomStream {
    try {
      return new RandomStream(state.key, xoroshiro128plusFromState(state.generator));
    } catch (cause) {
      throw new UsageError(
        'random-state',
        `The random state of stream '${state.key}' has ${state.generator.length} words; expected 4.`,
        { hint: 'Pass a state that RandomStream.state() returned.', cause },
      );
    }
  }

  static #fromKey(key: string): RandomStream {
    const digest = createHash('sha256').update(key).digest();
    const words = [0, 4, 8, 12].map((offset) => digest.readInt32LE(offset));
    const generator = words.every((word) => word === 0)
      ? xoroshiro128plus(1) // the one state that the generator cannot leave
      : xoroshiro128plusFromState(words);
    return new RandomStream(key, generator);
  }

  /** An independent stream under this one's name. Does not advance this stream. */
  stream(name: string): RandomStream {
    return RandomStream.#fromKey(`${this.#key}/${name}`);
  }

  state(): RandomState {
    return { key: this.#key, generator: [...this.#generator.getState()] };
  }

  /** Uniform in [0, 1), all 53 bits random. */
  uniform(): number {
    const high = this.#generator.next() >>> 5;
    const low = this.#generator.next() >>> 6;
    return (high * 0x4000000 + low) / 0x20000000000000;
  }

  /** Uniform integer in [0, limit), without modulo bias. */
  integer(limit: number): number {
    return uniformInt(this.#generator, 0, limit - 1);
  }

  /** Standard normal (Box–Muller; one of the two values, so that the state alone determines the next draw). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log1p(-this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** Fisher–Yates, in place. */
  shuffle<T extends { length: number; [index: number]: unknown }>(items: T): T {
    for (let last = items.length - 1; last > 0; last--) {
      const other = this.integer(last + 1);
      const held = items[last];
      items[last] = items[other];
      items[other] = held;
    }
    return items;
  }

  /** A random order of 0 … size − 1. */
  permutation(size: number): Int32Array {
    return this.shuffle(Int32Array.from({ length: size }, (_, index) => index));
  }
}
