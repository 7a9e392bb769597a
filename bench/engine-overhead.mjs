// What a call into the engine costs beyond the arithmetic: microseconds per small operator, median of several rounds.
//
//   npm run setup && node bench/engine-overhead.mjs
import { grad, noGrad, ops, setThreads, tensor, tidy } from '../dist/engine/index.js';

const rounds = 15;
const calls = 20_000;

/** Median over rounds of the time per call, in µs; every round disposes what it made. */
function measure(body) {
  const times = [];
  for (let round = 0; round < rounds; round++) {
    tidy(() => {
      const start = performance.now();
      for (let i = 0; i < calls; i++) body();
      times.push(((performance.now() - start) * 1000) / calls);
    });
  }
  return times.sort((a, b) => a - b)[Math.floor(rounds / 2)];
}

setThreads(1);
const x = tensor([1, 2, 3, 4], { shape: [2, 2] });
const leaf = tensor([1, 2, 3, 4], { shape: [2, 2] }).setRequiresGrad(true);
const megabyte = tensor(new Float32Array(1 << 18));

const cases = {
  'add(x, x)': () => ops.add(x, x),
  'add(x, x), recording a graph': () => ops.add(leaf, x),
  'add(x, 2)': () => ops.add(x, 2),
  'view(x, [4])': () => ops.view(x, [4]),
  'transpose(x, 0, 1)': () => ops.transpose(x, 0, 1),
  'mul_(x, 1), in place': () => ops.mul_(x, 1),
  'cat([x, x])': () => ops.cat([x, x]),
  'add(x, x) in a tidy of its own': () => tidy(() => void ops.add(x, x)),
  'square and grad': () => grad([ops.square(leaf)], [leaf], [x]),
  'item of a sum': () => ops.sum(x).item(),
};

const result = {};
noGrad(() => {});
for (const [name, body] of Object.entries(cases)) result[name] = Number(measure(body).toFixed(2));
const start = performance.now();
for (let i = 0; i < 200; i++) megabyte.toArray();
result['toArray of 1 MiB'] = Number((((performance.now() - start) * 1000) / 200).toFixed(2));
console.table(
  Object.fromEntries(Object.entries(result).map(([name, microseconds]) => [name, { µs: microseconds }])),
);
