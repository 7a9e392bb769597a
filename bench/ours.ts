/**
 * One process of our side: `node ours.js SCENARIO SETTINGS MODEL DATA`, both JSON. Prints one JSON line. A process of
 * its own for each measurement, so that peak memory means something.
 */
import { readFileSync } from 'node:fs';
import {
  generate,
  loadModel,
  loadPairs,
  memory,
  scorePairs,
  setMatmulPrecision,
  type TokenizedPair,
  tokenizePairs,
  trainPreference,
} from 'mallowspo';
import { forwardFlops, matmulPeak } from './flops.ts';
import type {
  GenerateScenario,
  Measurement,
  Precision,
  Scenario,
  ScoreScenario,
  Settings,
  TrainScenario,
} from './scenarios.ts';

const [scenarioText, settingsText, model, data] = process.argv.slice(2) as [string, string, string, string];
const scenario = JSON.parse(scenarioText) as Scenario;
const settings = JSON.parse(settingsText) as Settings;
setMatmulPrecision(scenario.precision === 'medium' ? 'medium' : 'highest');

const measured =
  scenario.kind === 'train'
    ? await train(scenario)
    : scenario.kind === 'score'
      ? await score(scenario)
      : await complete(scenario);
process.stdout.write(`${JSON.stringify(measured)}\n`);

async function train({ precision, lora }: TrainScenario): Promise<Measurement> {
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
  const { tokenized, flops } = await prepared(precision);
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
    peakFlops: matmulPeak(precision === 'bf16' ? 'bfloat16' : 'float32'),
  };
}

async function score({ precision }: ScoreScenario): Promise<Measurement> {
  const { loaded, tokenized, flops } = await prepared(precision);
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
    peakFlops: matmulPeak(precision === 'bf16' ? 'bfloat16' : 'float32'),
    check: { logp: mean(sides.map(({ logp }) => logp)), entropy: mean(sides.map(({ entropy }) => entropy)) },
  };
}

async function complete({ precision }: GenerateScenario): Promise<Measurement> {
  const { loaded } = await prepared(precision);
  const prompts = readFileSync(data, 'utf8')
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

async function prepared(precision: Precision) {
  const loaded = await loadModel(model, { dtype: precision === 'bf16' ? 'bfloat16' : 'float32' });
  const tokenized: readonly TokenizedPair[] =
    scenario.kind === 'generate'
      ? []
      : (await tokenizePairs(await loadPairs(data), loaded.tokenizer, { maxLength: settings.maxLength }))
          .tokens;
  return { loaded, tokenized, flops: (pairs: readonly TokenizedPair[]) => forwardFlops(loaded.model, pairs) };
}

function realTokens(pairs: readonly TokenizedPair[]): number {
  return pairs.reduce(
    (sum, { prompt, chosen, rejected }) => sum + 2 * prompt.length + chosen.length + rejected.length,
    0,
  );
}
