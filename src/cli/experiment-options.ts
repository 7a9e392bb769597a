import { Option } from '@commander-js/extra-typings';
import type { Device } from '../engine/index.ts';

/** What the experiments of several stages share; each option is added by hand, so that a command's file shows all. */
export function scaleOption(scales: string) {
  return new Option('--scale <scale>', scales).choices(['small', 'paper'] as const).default('small' as const);
}

export const SET_HELP = 'set any of the scale’s settings; may be repeated';
export const SETTINGS_HELP = 'print the settings and stop';
export const STAGES_HELP = 'where stages, runs and report go; the same command goes on there';
export const AUTO_DEVICE_HELP = 'auto, cpu, cuda, cuda:N, mps';

/** The shared options as an experiment takes them. */
export function pipelineOptions(options: {
  readonly data: string;
  readonly output: string;
  readonly scale: 'small' | 'paper';
  readonly dtype: 'auto' | 'fp32' | 'bf16';
  readonly device: string;
  readonly threads?: number;
}) {
  const { data, output, scale, dtype, device, threads } = options;
  return {
    data,
    output,
    scale,
    dtype,
    device: device as Device | 'auto',
    ...(threads !== undefined && { threads }),
  };
}
