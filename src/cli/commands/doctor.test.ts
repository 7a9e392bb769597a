import { homedir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EngineError } from '../../errors.ts';
import { createContext } from '../context.ts';
import { doctorCommand } from './doctor.ts';

// Without an engine, as on a machine where set-up has not run: doctor has to tell the rest all the same.
vi.mock('../../engine/index.ts', () => ({
  engineInfo: () => {
    throw new EngineError('engine-missing', 'the engine is not built', { hint: 'Run `mallows setup`.' });
  },
}));

const VARIABLES = [
  ...['MALLOWS_CACHE', 'XDG_CACHE_HOME', 'HF_HOME', 'HF_HUB_CACHE', 'HUGGINGFACE_HUB_CACHE'],
  ...['HF_ENDPOINT', 'HF_HUB_OFFLINE'],
];

const hub = vi.fn(async () => new Response(null, { status: 200 }));

beforeEach(() => {
  for (const name of VARIABLES) vi.stubEnv(name, undefined);
  vi.stubGlobal('fetch', hub);
});

afterEach(() => {
  vi.unstubAllEnvs();
  vi.unstubAllGlobals();
  hub.mockClear();
});

/** What `mallows doctor --json` prints under these variables. */
async function findings(environment: Readonly<Record<string, string>>): Promise<unknown> {
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
  const emit = vi.fn();
  const run = doctorCommand({ ...createContext(), emit }).parseAsync(['--json'], { from: 'user' });
  await expect(run).rejects.toMatchObject({ code: 'engine-missing', hint: 'Run `mallows setup`.' });
  return emit.mock.calls[0]![0];
}

describe('doctor', () => {
  it('finds the caches where the hub’s client and set-up keep them', async () => {
    const places = { HUGGINGFACE_HUB_CACHE: '/hub', MALLOWS_CACHE: '/mallows' };
    expect(await findings(places)).toMatchObject({
      engine: { error: 'the engine is not built' },
      caches: { models: { path: '/hub', exists: false }, engine: { path: '/mallows', exists: false } },
    });
    expect(await findings({ ...places, HF_HUB_CACHE: '/first' })).toMatchObject({
      caches: { models: { path: '/first' } },
    });
  });

  it('looks for the engine where macOS keeps caches', async () => {
    const { platform } = process;
    Object.defineProperty(process, 'platform', { value: 'darwin' });
    try {
      expect(await findings({ HF_HUB_OFFLINE: '1' })).toMatchObject({
        caches: {
          models: { path: join(homedir(), '.cache', 'huggingface', 'hub') },
          engine: { path: join(homedir(), 'Library', 'Caches', 'mallows') },
        },
      });
    } finally {
      Object.defineProperty(process, 'platform', { value: platform });
    }
  });

  it.each(['1', 'on', 'YES', 'true'])('does not ask the hub with HF_HUB_OFFLINE=%s', async (value) => {
    expect(await findings({ HF_HUB_OFFLINE: value })).toMatchObject({
      hub: { reachable: false, detail: 'HF_HUB_OFFLINE is set' },
    });
    expect(hub).not.toHaveBeenCalled();
  });

  it('asks the address that HF_ENDPOINT names', async () => {
    expect(await findings({ HF_ENDPOINT: 'https://mirror.example/', HF_HUB_OFFLINE: '0' })).toMatchObject({
      hub: { endpoint: 'https://mirror.example', reachable: true, detail: 'HTTP 200' },
    });
    expect(hub).toHaveBeenCalledWith('https://mirror.example', expect.objectContaining({ method: 'HEAD' }));
  });
});
