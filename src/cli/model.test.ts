import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { Device } from '../engine/index.ts';
import { dispersionCommand } from './commands/dispersion.ts';
import { generateCommand } from './commands/generate.ts';
import { scoreCommand } from './commands/score.ts';
import { createContext } from './context.ts';
import { openModel } from './model.ts';

const machine = vi.hoisted(() => ({ devices: [] as Device[] }));

vi.mock('../engine/index.ts', async (importOriginal) => ({
  ...(await importOriginal<typeof import('../engine/index.ts')>()),
  devices: () => machine.devices,
  engineInfo: () => ({ bf16Kernels: false, cpuCapability: 'AVX2', cudaBf16: true }),
}));

const loadModel = vi.hoisted(() => vi.fn());

vi.mock('../checkpoints/index.ts', async (importOriginal) => ({
  ...(await importOriginal<typeof import('../checkpoints/index.ts')>()),
  loadModel,
}));

const note = vi.fn();
const context = { ...createContext(), note };

/** Where a model is put on a machine with these devices, and in which type. */
async function placement(device: string, devices: readonly Device[]): Promise<unknown> {
  machine.devices = [...devices];
  await openModel(context, { model: 'm', dtype: 'auto', device });
  return loadModel.mock.lastCall![1];
}

beforeEach(() => {
  note.mockClear();
});

describe('openModel', () => {
  it('takes auto for the CPU where there is no GPU', async () => {
    expect(await placement('auto', ['cpu'])).toMatchObject({ device: 'cpu', dtype: 'float32' });
    expect(await placement('auto', ['cpu', 'mps'])).toMatchObject({ device: 'cpu', dtype: 'float32' });
    expect(note).not.toHaveBeenCalled();
  });

  it('takes auto for the first CUDA device, and says so', async () => {
    expect(await placement('auto', ['cpu', 'cuda:0', 'cuda:1'])).toMatchObject({
      device: 'cuda:0',
      dtype: 'bfloat16',
    });
    expect(note).toHaveBeenCalledExactlyOnceWith('Computing on cuda:0.');
  });

  it('obeys a device that is named', async () => {
    expect(await placement('cpu', ['cpu', 'cuda:0'])).toMatchObject({ device: 'cpu', dtype: 'float32' });
    expect(await placement('cuda:1', ['cpu', 'cuda:0', 'cuda:1'])).toMatchObject({ device: 'cuda:1' });
    expect(note).not.toHaveBeenCalled();
  });

  it('is asked for auto by every command that scores or generates', () => {
    for (const create of [scoreCommand, dispersionCommand, generateCommand]) {
      const option = create(context).options.find(({ long }) => long === '--device');
      expect(option).toMatchObject({ defaultValue: 'auto', description: expect.stringContaining('auto') });
    }
  });
});
