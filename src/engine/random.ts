import { addon, type Handle } from './addon.ts';
import type { Device } from './contract.ts';

export let generatorHandle: (generator: Generator) => Handle;

/**
 * A seeded source of random numbers, passed to random operators as `{ generator }`. Equal seeds (or equal saved
 * states) give equal numbers on the same device and engine version.
 */
export class Generator {
  readonly device: Device;
  readonly #handle: Handle;

  /** `seed`: a whole number. */
  constructor(seed: number | bigint, device: Device = 'cpu') {
    this.device = device;
    this.#handle = addon().generator(seed, device);
    abandoned.register(this, this.#handle);
  }

  static {
    generatorHandle = (generator) => generator.#handle;
  }

  /** The state as bytes: `setState` continues exactly here, in this process or a later one. */
  state(): Uint8Array {
    return addon().generatorState(this.#handle);
  }

  setState(state: Uint8Array): void {
    addon().setGeneratorState(this.#handle, state);
  }
}

// Generators are few and small: the garbage collector may free them.
const abandoned = new FinalizationRegistry<Handle>((handle) => addon().release(Uint32Array.of(handle), 1));
