/**
 * One process of our side: `node ours.js SCENARIO SETTINGS INPUTS`, all JSON. Prints one JSON line. A process of
 * its own for each measurement, so that peak memory means something.
 */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  generate,
  loadModel,
  loadPairs,
  memory,
  ops,
  packPairs,
  scorePairs,
  setMatmulPrecision,
  type TokenizedPair,
  tidy,
  tokenizePairs,
  trainPreference,
} from 'mallowspo';
import { forwardFlops, matmulPeak } from './flops.ts';
import type { Inputs } from './inputs.ts';
import type {
  GenerateScenario,
  Measurement,
  OverheadScenario,
  Precision,
  Scenario,
  ScoreScenario,
  Settings,
  TrainScenario,
} from './scenarios.ts';

const [scenario, settings, inputs] = process.argv.slice(2).map((text) => JSON.parse(text)) as [
  Scenario,
  Settings,
  Inputs,
];
const precision = 'precision' in scenario ? scenario.precision : 'fp32';
setMatmulPrecision(precision === 'medium' ? 'medium' : 'highest');

process.stdout.write(`${JSON.stringify(await measure(scenario))}\n`);

function measure(wanted: Scenario): Promise<Measurement> {
  switch (wanted.kind) {
    case 'train':
      return train(wanted, inputs.model, inputs.pairs);
    case 'score':
      return score(wanted);
    case 'generate':
      return complete(wanted);
    case 'overhead':
      return overhead(wanted);
    case 'tokenize':
      return tokenize();
    case 'load':
      return load();
    default:
      throw new Error(`unknown scenario ${JSON.stringify(wanted satisfies never)}`);
  }
}

async function train(
  { precision, lora }: Pick<TrainScenario, 'precision' | 'lora'>,
  model: string,
  data: string,
): Promise<Measurement> {
  const steps: { seconds: number; tokens: number; loss: number }[] = [];
  let referenceStart = 0;
  let reference = { seconds: 0, pairs: 0 };
  await trainPreference({
    model,
    data,
    objective: { name: 'dpo', beta: 0.1 },
    batch: { pairs: settings.pairs },
    steps: settings.steps,
    shuffle: false,
    evalFraction: 0,
    maxLength: settings.maxLength,
    optimizer: { name: 'adamw' },
    learningRate: 1e-6,
    schedule: { name: 'constant' },
    dtype: precision === 'bf16' ? 'bf16' : 'fp32',
    referenceCache: false,
    ...(lora !== undefined && { lora: { rank: lora, alpha: 2 * lora } }),
    observer: (event) => {
      if (event.type === 'phase' && event.phase === 'reference') referenceStart = performance.now();
      if (event.type === 'reference') {
        reference = { seconds: (performance.now() - referenceStart) / 1000, pairs: event.done };
      }
      if (event.type === 'step') steps.push({ ...event.timing, loss: event.metrics.loss as number });
    },
  });
  const peakBytes = memory().peakResidentBytes;
  const counted = steps.slice(settings.discard);
  const { tokenized, flops } = await prepared(precision, model, data);
  const used = tokenized.slice(settings.discard * settings.pairs, settings.steps * settings.pairs);
  return {
    seconds: counted.reduce((sum, step) => sum + step.seconds, 0),
    units: used.length,
    tokens: realTokens(used),
    losses: steps.map(({ loss }) => loss),
    referenceSeconds: reference.seconds,
    referencePairs: reference.pairs,
    peakBytes,
    usefulFlops: (lora === undefined ? 3 : 2) * flops(used),
    peakFlops: matmulPeak(engineType(precision)),
  };
}

async function score({ precision }: ScoreScenario): Promise<Measurement> {
  const { loaded, tokenized, flops } = await prepared(precision, inputs.model, inputs.pairs);
  const start = performance.now();
  const scores = await scorePairs(loaded.model, tokenized);
  const seconds = (performance.now() - start) / 1000;
  const sides = scores.flatMap(({ chosen, rejected }) => [chosen, rejected]);
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  return {
    seconds,
    units: tokenized.length,
    tokens: realTokens(tokenized),
    peakBytes: memory().peakResidentBytes,
    usefulFlops: flops(tokenized),
    peakFlops: matmulPeak(engineType(precision)),
    check: { logp: mean(sides.map(({ logp }) => logp)), entropy: mean(sides.map(({ entropy }) => entropy)) },
  };
}

async function complete({ precision }: GenerateScenario): Promise<Measurement> {
  const loaded = await loadModel(inputs.model, { dtype: engineType(precision) });
  const prompts = readFileSync(inputs.prompts, 'utf8')
    .trim()
    .split('\n')
    .map((line) => Int32Array.from((JSON.parse(line) as { ids: number[] }).ids));
  const options = { greedy: true, stopTokenIds: [], batchSize: prompts.length };
  await generate(loaded.model, prompts, { ...options, maxNewTokens: 4 });
  const start = performance.now();
  const completions = await generate(loaded.model, prompts, { ...options, maxNewTokens: settings.newTokens });
  return {
    seconds: (performance.now() - start) / 1000,
    units: prompts.length * settings.newTokens,
    peakBytes: memory().peakResidentBytes,
    check: completions.map(([completion]) => Array.from(completion!.tokens)),
  };
}

/** Time of a step without arithmetic, and its share of a real one in the same process. */
async function overhead({ precision }: OverheadScenario): Promise<Measurement> {
  const thin = await train({ precision }, inputs.thinModel, inputs.thinPairs);
  const real = await train({ precision }, inputs.model, inputs.pairs);
  return {
    seconds: thin.seconds,
    units: thin.units,
    peakBytes: thin.peakBytes,
    check: { share: thin.seconds / thin.units / (real.seconds / real.units) },
  };
}

/** Pairs that are all different, so that no cache of pieces of text does the work. */
async function tokenize(): Promise<Measurement> {
  const { tokenizer } = await loadModel(inputs.model);
  const rows = readFileSync(inputs.pairs, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, { role: string; content: string }[]>);
  const varied = (messages: { role: string; content: string }[], salt: number) =>
    messages.map(({ role, content }) => ({
      role,
      content: content.replace(/\b\w{4,}\b/g, (word, at: number) => `${word}${(at * salt) % 97}`),
    }));
  const file = join(inputs.folder, 'many.jsonl');
  const lines = Array.from({ length: settings.tokenizedPairs }, (_, id) => {
    const { prompt, chosen, rejected } = rows[id % rows.length]!;
    const texts = [prompt!, chosen!, rejected!].map((messages) => varied(messages, id));
    return JSON.stringify({ id: `${id}`, prompt: texts[0], chosen: texts[1], rejected: texts[2] });
  });
  writeFileSync(file, `${lines.join('\n')}\n`);
  const examples = await loadPairs(file);
  const start = performance.now();
  const { tokens } = await tokenizePairs(examples, tokenizer, { maxLength: settings.maxLength });
  for (let first = 0; first < tokens.length; first += settings.pairs) {
    packPairs(tokens.slice(first, first + settings.pairs));
  }
  return {
    seconds: (performance.now() - start) / 1000,
    units: tokens.length,
    peakBytes: memory().peakResidentBytes,
    tokens: realTokens(tokens),
  };
}

/** What a checkpoint's weights take in memory as they are stored: mapped pages and copies alike. */
async function load(): Promise<Measurement> {
  // The engine's own memory is not the checkpoint's, nor is the tokenizer's, which lies in JavaScript's heap.
  const outside = () => memory().residentBytes - process.memoryUsage().heapTotal;
  await loadModel(inputs.thinModel);
  const before = outside();
  const start = performance.now();
  const { model } = await loadModel(inputs.model);
  const seconds = (performance.now() - start) / 1000;
  // Every page is read, as a pass through the model would.
  for (const { value } of model.parameters.values()) tidy(() => ops.sum(value).item());
  const fileBytes = statSync(join(inputs.model, 'model.safetensors')).size;
  return {
    seconds,
    units: fileBytes,
    peakBytes: memory().peakResidentBytes,
    check: { overFile: (outside() - before) / fileBytes },
  };
}

function engineType(precision: Precision): 'bfloat16' | 'float32' {
  return precision === 'bf16' ? 'bfloat16' : 'float32';
}

async function prepared(precision: Precision, model: string, data: string) {
  const loaded = await loadModel(model, { dtype: engineType(precision) });
  const { tokens: tokenized } = await tokenizePairs(await loadPairs(data), loaded.tokenizer, {
    maxLength: settings.maxLength,
  });
  return { loaded, tokenized, flops: (pairs: readonly TokenizedPair[]) => forwardFlops(loaded.model, pairs) };
}

function realTokens(pairs: readonly TokenizedPair[]): number {
  return pairs.reduce(
    (sum, { prompt, chosen, rejected }) => sum + 2 * prompt.length + chosen.length + rejected.length,
    0,
  );
}
