// How the cost of a training step (forward and backward, without the update) grows with what it is given: least of several
// steps each, on models with random weights, as tokens have to cost the same whatever they say.
//
//   npm run setup && node bench/growth.mjs [bf16|fp32]
import { packPairs } from '../dist/data/pack.js';
import { engineInfo, Generator, setThreads, threads, tidy } from '../dist/engine/index.js';
import { initialiseModel, readModelConfig } from '../dist/models/index.js';
import { headPositions } from '../dist/train/completions.js';
import { GradientStore } from '../dist/train/gradients.js';
import { HeadPass } from '../dist/train/head.js';
import { walk } from '../dist/train/walk.js';

const repeats = 5;
const auto = engineInfo().bf16Kernels ? 'bf16' : 'fp32';
const dtype = (process.argv[2] ?? auto) === 'bf16' ? 'bfloat16' : 'float32';
/** SmolLM2-135M's shape. */
const shape = { width: 576, layers: 30, heads: 9, vocabulary: 49_152 };

function model({ width, layers, heads, vocabulary }) {
  const config = readModelConfig({
    model_type: 'llama',
    hidden_size: width,
    intermediate_size: (width * 8) / 3,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: heads / 3,
    vocab_size: vocabulary,
    max_position_embeddings: 8192,
    rms_norm_eps: 1e-5,
    rope_theta: 100_000,
    tie_word_embeddings: true,
    hidden_act: 'silu',
    bos_token_id: 1,
    eos_token_id: 2,
  });
  const made = initialiseModel(config, new Generator(1), { dtype, device: 'cpu' });
  for (const { value } of made.parameters.values()) value.setRequiresGrad(true);
  return made;
}

/** Pairs of one shape: a prompt and two completions. */
function pairs(count, prompt, completion, vocabulary = shape.vocabulary) {
  const tokens = (length, salt) =>
    Int32Array.from({ length }, (_, at) => 3 + ((at * 31 + salt * 7) % (vocabulary - 3)));
  return Array.from({ length: count }, (_, id) => ({
    id: `${id}`,
    prompt: tokens(prompt, id),
    chosen: tokens(completion, id + 1),
    rejected: tokens(completion, id + 2),
  }));
}

function step(trained, batch) {
  return tidy(() => {
    const start = performance.now();
    const row = packPairs(batch);
    const { rows, targets } = headPositions(row.completions);
    const way = walk(trained, row, rows, { gradients: true });
    const head = new HeadPass(trained.head, way.hidden, targets);
    const gradients = new GradientStore();
    way.backward(head.backward(new Float64Array(rows.length).fill(0.01), gradients), gradients);
    head.dispose();
    gradients.clear();
    return { tokens: row.tokens.length, scored: rows.length, milliseconds: performance.now() - start };
  });
}

function report(what, trained, batch) {
  const times = Array.from({ length: repeats }, () => step(trained, batch));
  const { tokens, scored } = times[0];
  const least = Math.min(...times.map(({ milliseconds }) => milliseconds));
  const rate = ((1000 * tokens) / least).toFixed(0);
  console.log(`| ${what} | ${tokens} | ${scored} | ${least.toFixed(0)} | ${rate} |`);
}

console.log(`${dtype}, ${threads()} threads\n`);
console.log('| | tokens | scored | ms a step | tokens/s |\n|---|---|---|---|---|');
const usual = model(shape);
for (const count of [1, 2, 4, 8]) report(`pairs: ${count}`, usual, pairs(count, 120, 120));
for (const length of [256, 512, 1024, 2048]) {
  // The same tokens in all, so that what grows is attention.
  report(`length: ${length}`, usual, pairs(2048 / length, length / 2, length / 4));
}
for (const completion of [60, 240]) {
  report(`completions: ${completion} of 480 tokens`, usual, pairs(4, 480 - 2 * completion, completion));
}
for (const count of [...new Set([1, 2, 4, threads()])].filter((count) => count <= threads())) {
  const before = threads();
  setThreads(count);
  report(`threads: ${count}`, usual, pairs(4, 120, 120));
  setThreads(before);
}
usual.dispose();
for (const vocabulary of [8_192, 49_152, 131_072]) {
  const other = model({ ...shape, vocabulary });
  report(`vocabulary: ${vocabulary}`, other, pairs(4, 120, 120, vocabulary));
  other.dispose();
}
for (const [name, change] of [
  ['half the layers', { layers: 15 }],
  ['twice the width', { width: 1152, heads: 18 }],
  ['twice width and layers', { width: 1152, heads: 18, layers: 60 }],
]) {
  const other = model({ ...shape, ...change });
  const weights = [...other.parameters.values()].reduce((sum, { value }) => sum + value.size, 0);
  report(`${name}: ${(weights / 1e6).toFixed(0)} million weights`, other, pairs(4, 120, 120));
  other.dispose();
}
