/** Attention plans: which token of a row sees which, computed exactly by the cheapest kernel of the device. */
export { KeyValueCache, type PrefillSequence } from './cached.ts';
export { packedAttention } from './packed.ts';
