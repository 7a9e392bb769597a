import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { SCENARIOS } from '../bench/scenarios.ts';

// What the library is asked for, without the engine: a machine with a GPU, where `auto` would take it, is not at hand.
const asked = vi.hoisted(() => [] as [call: string, device: unknown][]);
vi.mock('mallowspo', () => {
  const token = { prompt: [1], chosen: [1], rejected: [1] };
  type Observed = { device?: unknown; steps: number; observer(event: unknown): void };
  return {
    trainPreference: async ({ device, steps, observer }: Observed) => {
      asked.push(['trainPreference', device]);
      observer({ type: 'reference', done: 1, total: 1 });
      for (let step = 0; step < steps; step++) {
        observer({ type: 'step', timing: { seconds: 1, tokens: 1 }, metrics: { loss: 1 } });
      }
    },
    loadModel: async (_: string, options: { device?: unknown } = {}) => {
      asked.push(['loadModel', options.device]);
      return { model: { parameters: new Map() }, tokenizer: {} };
    },
    loadPairs: async () => [],
    tokenizePairs: async () => ({ tokens: [token, token] }),
    scorePairs: async () => [{ chosen: { logp: 0, entropy: 0 }, rejected: { logp: 0, entropy: 0 } }],
    generate: async () => [[{ tokens: [1] }]],
    packPairs: () => ({}),
    setMatmulPrecision: () => {},
    engineInfo: () => ({}),
    memory: () => ({ peakResidentBytes: 1, residentBytes: 1 }),
  };
});
vi.mock('../bench/flops.ts', () => ({
  forwardFlops: () => 1,
  MatmulPeak: class {
    sample() {}
  },
}));
vi.mock('../bench/calls.ts', () => ({
  countCalls: () => () => ({ calls: 0, seconds: 0 }),
  emptyCallSeconds: () => 0,
}));

let folder: string;
const { argv } = process;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mallows-bench-'));
  asked.length = 0;
  vi.resetModules();
});
afterEach(() => {
  process.argv = argv;
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true, force: true });
});

it.each([
  ['train-bf16', ['trainPreference', 'loadModel']],
  ['grouped-fp32', ['trainPreference', 'trainPreference', 'trainPreference']],
  ['score-fp32', ['loadModel']],
  ['generate-fp32', ['loadModel']],
  ['overhead-fp32', ['trainPreference']],
  ['tokenize', ['trainPreference', 'trainPreference', 'loadModel']],
  ['load', ['loadModel', 'loadModel']],
])('our side of %s computes on the CPU, as the peer does', async (name, calls) => {
  const file = (lines: unknown, at: string) => {
    writeFileSync(join(folder, at), JSON.stringify(lines));
    return join(folder, at);
  };
  const files = { pairs: file({ prompt: [], chosen: [], rejected: [] }, 'pairs.jsonl') };
  file({}, 'model.safetensors');
  const batching = { pairs: 1, maxLength: 8 };
  const settings = {
    steps: 3,
    discard: 1,
    batching: { hh: batching, long: batching, shared: batching },
    prompts: 1,
    newTokens: 1,
    tokenizedPairs: 2,
  };
  const inputs = {
    folder,
    model: folder,
    thinModel: folder,
    prompts: file({ ids: [1] }, 'prompts.jsonl'),
    data: { hh: files, long: files, shared: files },
  };
  process.argv = [
    ...argv.slice(0, 2),
    ...[SCENARIOS[name], settings, inputs].map((each) => JSON.stringify(each)),
  ];
  const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  await import('../bench/ours.ts');
  expect(JSON.parse(write.mock.calls.at(-1)![0] as string)).toHaveProperty('units');
  expect(asked).toEqual(calls.map((call) => [call, 'cpu']));
});
