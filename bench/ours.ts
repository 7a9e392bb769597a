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
  type PreferenceOptions,
  packPairs,
  scorePairs,
  setMatmulPrecision,
  type TokenizedPair,
  type TrainEvent,
  tidy,
  tokenizePairs,
  trainPreference,
} from 'mallowspo';
import { countCalls, type EngineCalls, emptyCallSeconds } from './calls.ts';
import { forwardFlops, MatmulPeak } from './flops.ts';
import type { Inputs } from './inputs.ts';
import { DEVICE, mappedMemory } from './machine.ts';
import type {
  Batching,
  GenerateScenario,
  GroupedScenario,
  Measurement,
  OverheadScenario,
  Precision,
  Scenario,
  ScoreScenario,
  Settings,
  TrainScenario,
} from './scenarios.ts';
import { spread } from './statistics.ts';
import { type ChatPair, variedPairs } from './varied.ts';

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
      return train(wanted);
    case 'grouped':
      return grouped(wanted);
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

interface Step {
  readonly seconds: number;
  /** Tokens of the packed rows. */
  readonly tokens: number;
  readonly loss: number;
}

/** DPO without evaluation, in the order of the data, and what the observer saw of it. */
async function run(
  precision: Precision,
  { pairs, maxLength }: Batching,
  options: Pick<PreferenceOptions, 'model' | 'data'> & Partial<PreferenceOptions>,
  watch?: (event: TrainEvent) => void,
): Promise<{ steps: Step[]; reference: { seconds: number; pairs: number } }> {
  const steps: Step[] = [];
  let referenceStart = 0;
  let reference = { seconds: 0, pairs: 0 };
  await trainPreference({
    objective: { name: 'dpo', beta: 0.1 },
    batch: { pairs },
    steps: settings.steps,
    shuffle: false,
    evalFraction: 0,
    maxLength,
    optimizer: { name: 'adamw' },
    learningRate: 1e-6,
    schedule: { name: 'constant' },
    dtype: precision === 'bf16' ? 'bf16' : 'fp32',
    device: DEVICE,
    referenceCache: false,
    observer: (event) => {
      if (event.type === 'phase' && event.phase === 'reference') referenceStart = performance.now();
      if (event.type === 'reference') {
        reference = { seconds: (performance.now() - referenceStart) / 1000, pairs: event.done };
      }
      if (event.type === 'step') {
        steps.push({ ...event.timing, loss: event.metrics.loss as number });
      }
      watch?.(event);
    },
    ...options,
  });
  return { steps, reference };
}

async function train({ precision, lora, data }: TrainScenario): Promise<Measurement> {
  const batching = settings.batching[data];
  const { model } = inputs;
  const { pairs } = inputs.data[data];
  const peak = new MatmulPeak(engineType(precision));
  const { steps, reference } = await run(
    precision,
    batching,
    { model, data: pairs, ...(lora !== undefined && { lora: { rank: lora, alpha: 2 * lora } }) },
    ({ type }) => type === 'step' && peak.sample(),
  );
  const peakBytes = memory().peakResidentBytes;
  const { tokenized, flops } = await prepared(precision, pairs, batching);
  const used = tokenized.slice(settings.discard * batching.pairs, settings.steps * batching.pairs);
  return {
    seconds: seconds(steps.slice(settings.discard)),
    units: used.length,
    tokens: realTokens(used),
    losses: steps.map(({ loss }) => loss),
    referenceSeconds: reference.seconds,
    referencePairs: reference.pairs,
    peakBytes,
    usefulFlops: (lora === undefined ? 3 : 2) * flops(used),
    peakFlops: peak.libtorch,
    ownPeakFlops: peak.own,
  };
}

function seconds(steps: readonly Step[]): number {
  return steps.reduce((sum, step) => sum + step.seconds, 0);
}

/** An epoch of the same pairs twice; the two steps before it warm up the allocator and the caches. */
async function grouped({ precision }: GroupedScenario): Promise<Measurement> {
  const batching = settings.batching.shared;
  const data = inputs.data.shared.pairs;
  const epoch = (groupPrompts: boolean, steps = settings.steps) =>
    run(precision, batching, {
      model: inputs.model,
      data,
      steps,
      shuffle: true,
      batch: { pairs: batching.pairs, groupPrompts },
    });
  await epoch(false, 2);
  const { steps: apart } = await epoch(false);
  const { steps: together } = await epoch(true);
  const tokens = (steps: readonly Step[]) => steps.reduce((sum, step) => sum + step.tokens, 0);
  return {
    seconds: seconds(together),
    units: settings.steps * batching.pairs,
    peakBytes: memory().peakResidentBytes,
    own: {
      grouped: seconds(apart) / seconds(together),
      groupedTokens: tokens(together) / tokens(apart),
    },
  };
}

async function score({ precision }: ScoreScenario): Promise<Measurement> {
  const { loaded, tokenized, flops } = await prepared(precision, inputs.data.hh.pairs, settings.batching.hh);
  const peak = new MatmulPeak(engineType(precision));
  peak.sample();
  const start = performance.now();
  const scores = await scorePairs(loaded.model, tokenized);
  const seconds = (performance.now() - start) / 1000;
  peak.sample();
  const sides = scores.flatMap(({ chosen, rejected }) => [chosen, rejected]);
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  return {
    seconds,
    units: tokenized.length,
    tokens: realTokens(tokenized),
    peakBytes: memory().peakResidentBytes,
    usefulFlops: flops(tokenized),
    peakFlops: peak.libtorch,
    ownPeakFlops: peak.own,
    check: { logp: mean(sides.map(({ logp }) => logp)), entropy: mean(sides.map(({ entropy }) => entropy)) },
  };
}

async function complete({ precision }: GenerateScenario): Promise<Measurement> {
  const loaded = await loadModel(inputs.model, { dtype: engineType(precision), device: DEVICE });
  const prompts = readLines<{ ids: number[] }>(inputs.prompts).map(({ ids }) => Int32Array.from(ids));
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

/**
 * The share of a step that passes outside of the engine's calls, and for each call what one takes that computes nothing:
 * JavaScript, garbage collection, waiting, conversion of arguments and dispatch.
 */
async function overhead({ precision }: OverheadScenario): Promise<Measurement> {
  const batching = settings.batching.hh;
  const soFar = countCalls();
  const marks: (EngineCalls & { readonly at: number })[] = [];
  const { steps } = await run(
    precision,
    batching,
    { model: inputs.model, data: inputs.data.hh.pairs },
    ({ type }) => type === 'step' && marks.push({ ...soFar(), at: performance.now() / 1000 }),
  );
  const emptyCall = emptyCallSeconds();
  // From the end of one step to the end of the next: what lies between two steps is part of neither's own time.
  const parts = marks.slice(settings.discard).map((mark, index) => {
    const before = marks[settings.discard + index - 1]!;
    const [wall, inside] = [mark.at - before.at, mark.seconds - before.seconds];
    const calls = mark.calls - before.calls;
    return {
      wall,
      calls,
      outside: (wall - inside) / wall,
      share: (wall - inside + calls * emptyCall) / wall,
    };
  });
  const median = (of: (part: (typeof parts)[number]) => number) => spread(parts.map(of)).median;
  return {
    seconds: seconds(steps.slice(settings.discard)),
    units: batching.pairs * parts.length,
    peakBytes: memory().peakResidentBytes,
    own: {
      share: median(({ share }) => share),
      outside: median(({ outside }) => outside),
      calls: median(({ calls }) => calls),
      emptyCall: emptyCall * 1e6,
    },
  };
}

/** Pairs that are all different, down to many of their words, so that no cache of pieces of text does the work. */
async function tokenize(): Promise<Measurement> {
  const batching = settings.batching.hh;
  const file = writeVariedPairs(join(inputs.folder, 'many.jsonl'), settings.tokenizedPairs);
  const firstScores = await secondsUntil('reference', file, batching);
  const firstStep = await secondsUntil('step', file, batching);
  const { tokenizer } = await loadModel(inputs.thinModel, { device: DEVICE });
  const examples = await loadPairs(file);
  const start = performance.now();
  const { tokens } = await tokenizePairs(examples, tokenizer, batching);
  for (let first = 0; first < tokens.length; first += batching.pairs) {
    packPairs(tokens.slice(first, first + batching.pairs));
  }
  const seconds = (performance.now() - start) / 1000;
  return {
    seconds,
    units: tokens.length,
    peakBytes: memory().peakResidentBytes,
    tokens: realTokens(tokens),
    own: { seconds: (seconds / tokens.length) * settings.tokenizedPairs, firstScores, firstStep },
  };
}

/**
 * How long a run's first work waits for pairs to become tokens, on a model that costs nothing: with a reference model the
 * first scores, which need some of the pairs, without one the first update, which needs all of them.
 */
async function secondsUntil(first: 'reference' | 'step', data: string, batching: Batching): Promise<number> {
  const stop = new AbortController();
  const name = first === 'reference' ? 'dpo' : 'simpo';
  const start = performance.now();
  let end: number | undefined;
  const options = { model: inputs.thinModel, data, objective: { name }, steps: 1, signal: stop.signal };
  try {
    await run('fp32', batching, options, (event) => {
      if (event.type !== first || (event.type === 'reference' && event.done === 0)) return;
      end ??= performance.now();
      stop.abort();
    });
  } catch (error) {
    if (end === undefined) throw error;
  }
  if (end === undefined) throw new Error(`The run ended without a ${first}.`);
  return (end - start) / 1000;
}

function writeVariedPairs(file: string, count: number): string {
  const pairs = variedPairs(readLines<ChatPair>(inputs.data.hh.pairs), count);
  writeFileSync(file, pairs.map((pair) => `${JSON.stringify(pair)}\n`).join(''));
  return file;
}

/**
 * What a checkpoint's weights take in memory as they are stored, and how much of it is not the file's own pages: a second
 * copy would be as large as the file. The tokenizer's share lies in JavaScript's heap and is taken off.
 */
async function load(): Promise<Measurement> {
  const now = () => {
    const { resident, anonymous } = mappedMemory();
    const heap = process.memoryUsage().heapTotal;
    return { resident: resident - heap, ...(anonymous !== undefined && { anonymous: anonymous - heap }) };
  };
  // The engine's own memory is not the checkpoint's.
  await loadModel(inputs.thinModel, { device: DEVICE });
  const before = now();
  const start = performance.now();
  const { model } = await loadModel(inputs.model, { device: DEVICE });
  const seconds = (performance.now() - start) / 1000;
  // Every page is read, as a pass through the model would.
  for (const { value } of model.parameters.values()) tidy(() => ops.sum(value).item());
  const after = now();
  const fileBytes = statSync(join(inputs.model, 'model.safetensors')).size;
  return {
    seconds,
    units: fileBytes,
    peakBytes: memory().peakResidentBytes,
    own: {
      resident: (after.resident - before.resident) / fileBytes,
      ...(after.anonymous !== undefined && {
        copied: (after.anonymous - before.anonymous!) / fileBytes,
      }),
    },
  };
}

function engineType(precision: Precision): 'bfloat16' | 'float32' {
  return precision === 'bf16' ? 'bfloat16' : 'float32';
}

async function prepared(precision: Precision, data: string, batching: Batching) {
  const loaded = await loadModel(inputs.model, { dtype: engineType(precision), device: DEVICE });
  const { tokens: tokenized } = await tokenizePairs(await loadPairs(data), loaded.tokenizer, batching);
  return { loaded, tokenized, flops: (pairs: readonly TokenizedPair[]) => forwardFlops(loaded.model, pairs) };
}

function readLines<Row>(file: string): Row[] {
  return readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Row);
}

function realTokens(pairs: readonly TokenizedPair[]): number {
  return pairs.reduce(
    (sum, { prompt, chosen, rejected }) => sum + 2 * prompt.length + chosen.length + rejected.length,
    0,
  );
}
