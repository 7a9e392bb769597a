// What a call into the engine costs beyond the arithmetic: microseconds per small operator, best of many short
// rounds, which a busy machine disturbs least.
//
//   npm run setup && node bench/engine-overhead.mjs
import { grad, ops, setThreads, tensor, tidy } from '../dist/engine/index.js';

const rounds = 200;
const calls = 1_000;

/** Time per call in µs, of the best round; every round disposes what it made. */
function measure(body) {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    tidy(() => {
      const start = performance.now();
      for (let i = 0; i < calls; i++) body();
      best = Math.min(best, ((performance.now() - start) * 1000) / calls);
    });
  }
  return best;
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

for (const [name, body] of Object.entries(cases)) cases[name] = { µs: Number(measure(body).toFixed(2)) };
let best = Number.POSITIVE_INFINITY;
for (let i = 0; i < rounds; i++) {
  const start = performance.now();
  megabyte.toArray();
  best = Math.min(best, (performance.now() - start) * 1000);
}
cases['toArray of 1 MiB'] = { µs: Number(best.toFixed(2)) };
console.table(cases);
