import type { HubProgress, LoadedModel } from '../checkpoints/index.ts';
import type { HubFetcher } from '../data/index.ts';
import type { Device } from '../engine/index.ts';
import type { CliContext } from './context.ts';
import { formatBytes } from './progress.ts';

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
  const { devices, resolveDevice, setThreads } = await import('../engine/index.ts');
  const { resolvePrecision } = await import('../train/index.ts');
  if (options.threads !== undefined) setThreads(options.threads);
  const device = resolveDevice(options.device as Device | 'auto', devices());
  if (device !== 'cpu' && device !== options.device) context.note(`Computing on ${device}.`);
  return loadModel(options.model, {
    dtype: resolvePrecision(options.dtype, device).dtype,
    device,
    ...hubOptions(context),
  });
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
