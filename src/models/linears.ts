import type { Linear } from '../nn/linear.ts';
import type { Trunk } from './contract.ts';

/** The linear maps of layers, in their order: where adapters attach. A head is none of them. */
export function linearsOf({ layers }: Pick<Trunk, 'layers'>): Linear[] {
  return layers.flatMap((layer) => [...layer.linears.values()]);
}
