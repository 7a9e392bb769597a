import type { HubProgress, LoadedModel } from '../checkpoints/index.ts';
import type { HubFetcher } from '../data/index.ts';
import type { Device } from '../engine/index.ts';
import { formatBytes } from '../units.ts';
import type { CliContext } from './context.ts';

export interface ModelOptions {
  readonly model: string;
  readonly dtype: 'auto' | 'fp32' | 'bf16';
  /** A device's name, or `auto`. */
  readonly device: string;
  readonly threads?: number;
}

/** Loads a model and its tokenizer, telling on stderr what was chosen and fetched. */
export async function openModel(context: CliContext, options: ModelOptions): Promise<LoadedModel> {
  const { loadModel } = await import('../checkpoints/index.ts');
  const placement = await placementOf(options);
  const { device } = placement;
  if (device !== 'cpu' && device !== options.device) context.note(`Computing on ${device}.`);
  return loadModel(options.model, { ...placement, ...hubOptions(context) });
}

/** Where and in what a model computes, as its options ask; the number of threads is set from here on. */
export async function placementOf({ dtype, device, threads }: Omit<ModelOptions, 'model'>) {
  const { devices, resolveDevice, setThreads } = await import('../engine/index.ts');
  const { resolvePrecision } = await import('../train/index.ts');
  if (threads !== undefined) setThreads(threads);
  const place = resolveDevice(device as Device | 'auto', devices());
  return { dtype: resolvePrecision(dtype, place).dtype, device: place };
}

/** Notices and download progress of everything that may come from the hub. */
export function hubOptions(context: CliContext) {
  let shown = '';
  return {
    notice: (message: string) => context.note(message),
    onProgress: ({ repository, bytes, totalBytes }: HubProgress) => {
      // A line for each tenth: enough to see that it moves, few enough for a log.
      const state = `${repository} ${Math.floor((10 * bytes) / Math.max(1, totalBytes))}`;
      if (state === shown) return;
      shown = state;
      context.note(`fetching ${repository}: ${formatBytes(bytes)} of ${formatBytes(totalBytes)}`);
    },
  };
}

/** Access to data sets on the hub. */
export async function hubData(context: CliContext): Promise<HubFetcher> {
  const { hubDatasets, hubSettings } = await import('../checkpoints/index.ts');
  return hubDatasets({ settings: hubSettings(), ...hubOptions(context) });
}
