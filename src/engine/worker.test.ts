import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { memory, ops, tensor, tidy } from './index.ts';

const addonFile = fileURLToPath(new URL('../../build/mallows.node', import.meta.url));

/** Worker threads of a test run plain JavaScript, so this one talks to the addon itself. */
const program = `
  const { parentPort } = require('node:worker_threads');
  const addon = require(${JSON.stringify(addonFile)});
  const mm = addon.bind('aten::mm', '');
  const shape = [64, 64];
  const x = addon.fromHost(new Float32Array(64 * 64).fill(0.5), shape, 6, 'cpu');
  let total = 0;
  for (let i = 0; i < 200; i++) {
    const y = mm(x, x);
    total += addon.toHost(y, true)[0];
    addon.release(Uint32Array.of(y), 1);
  }
  let refused;
  try { mm(x, 12345) } catch (error) { refused = error.code }
  parentPort.postMessage({ total, live: addon.liveTensors(), refused });
`;

it('computes in worker threads, each with tensors of its own', async () => {
  const before = memory().liveTensors;
  const workers = Array.from({ length: 2 }, () => new Worker(program, { eval: true }));
  const messages = workers.map(
    (worker) =>
      new Promise((resolve, reject) => {
        worker.on('message', resolve);
        worker.on('error', reject);
      }),
  );
  const own = tidy(() =>
    ops.sum(ops.mm(tensor([1, 2, 3, 4], { shape: [2, 2] }), tensor([1, 1], { shape: [2, 1] }))).item(),
  );
  expect(own).toBe(10);
  for (const message of await Promise.all(messages)) {
    expect(message).toEqual({ total: 200 * 16, live: 1, refused: 'tensor-disposed' });
  }
  await Promise.all(workers.map((worker) => worker.terminate()));
  expect(memory().liveTensors).toBe(before);
});
