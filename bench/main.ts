/**
 * The benchmark: `npm run bench [-- --peer] [--scenario train-fp32 …] [--data FILE] [--rounds N] [--output FILE.json]`.
 *
 * Every measurement is a process of its own. With `--peer` the same work runs in TRL and transformers, ours and theirs in
 * turn, and ratios are taken round by round: machines are noisy, ratios within a run are not.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { engineInfo, loadModel, loadPairs, modelTensors, saveDirectory, tokenizePairs } from 'mallowspo';
import type { Inputs } from './inputs.ts';
import { peerPython, peerRuns, runPeer } from './peer.ts';
import { type Measurement, SCENARIOS, type Scenario, type Settings } from './scenarios.ts';
import { format, ratios, type Spread, spread } from './statistics.ts';
import { writeThin } from './thin.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

const { values } = parseArgs({
  options: {
    peer: { type: 'boolean', default: false },
    scenario: { type: 'string', multiple: true },
    model: { type: 'string', default: 'smollm2-135m:gguf' },
    data: { type: 'string', default: join(root, 'bench/data/hh.jsonl.gz') },
    rounds: { type: 'string', default: '3' },
    steps: { type: 'string', default: '8' },
    'max-length': { type: 'string', default: '512' },
    output: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

interface Row {
  readonly scenario: string;
  readonly unit: string;
  readonly ours: { readonly rate: Spread; readonly peakBytes: number; readonly utilisation?: Spread };
  readonly peers: Readonly<
    Record<string, { readonly rate: Spread; readonly ratio: Spread; readonly memoryRatio: number }>
  >;
  readonly measurements: readonly Readonly<Record<string, Measurement>>[];
}

/** Figures of our side alone, beside the rate. */
const OWN_CHECKS: Readonly<Record<string, string>> = {
  share: 'share of a real step (at most)',
  overFile: 'memory over the size of the file',
};

const UNITS: Readonly<Record<Scenario['kind'], string>> = {
  train: 'pairs/s',
  score: 'pairs/s',
  generate: 'tokens/s',
  tokenize: 'pairs/s',
  load: 'bytes/s',
  overhead: 'pairs/s',
};

if (values.help) {
  process.stdout.write(
    'npm run bench -- [--peer] [--scenario NAME …] [--model M] [--data FILE] [--rounds N] [--steps N] [--output F.json]\n' +
      `scenarios: ${Object.keys(SCENARIOS).join(', ')}\n`,
  );
} else {
  await main();
}

async function main(): Promise<void> {
  const settings: Settings = {
    steps: Number(values.steps),
    discard: 2,
    pairs: 4,
    maxLength: Number(values['max-length']),
    prompts: 16,
    newTokens: 64,
    tokenizedPairs: 10_000,
  };
  const { bf16Kernels, torchVersion, threads } = engineInfo();
  const names =
    values.scenario ?? Object.keys(SCENARIOS).filter((name) => bf16Kernels || !name.endsWith('bf16'));
  const python = values.peer ? peerPython() : undefined;
  const folder = mkdtempSync(join(tmpdir(), 'mallows-bench-'));
  try {
    const inputs = await prepare(folder, settings);
    say(
      `libtorch ${torchVersion}, ${threads} threads, ${cpus()[0]?.model}, bf16 kernels: ${bf16Kernels ? 'yes' : 'no'}`,
    );
    const rows: Row[] = [];
    for (const name of names) {
      const scenario = SCENARIOS[name];
      if (scenario === undefined)
        throw new Error(`Unknown scenario "${name}". Known: ${Object.keys(SCENARIOS).join(', ')}`);
      rows.push(measure(name, scenario, settings, inputs, python));
      printRow(rows.at(-1)!);
    }
    if (values.output !== undefined) {
      writeFileSync(values.output, `${JSON.stringify({ torchVersion, settings, rows }, null, 2)}\n`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function prepare(folder: string, settings: Settings): Promise<Inputs> {
  say(`Preparing ${values.model} and ${values.data}`);
  const inputs: Inputs = {
    folder,
    model: join(folder, 'model'),
    pairs: join(folder, 'pairs.jsonl'),
    tokens: join(folder, 'tokens.jsonl'),
    prompts: join(folder, 'prompts.jsonl'),
    thinModel: join(folder, 'thin'),
    thinPairs: join(folder, 'thin.jsonl'),
  };
  const loaded = await loadModel(values.model);
  const { model, tokenizer, config, generationConfig, source } = loaded;
  await saveDirectory(inputs.model, {
    config: config.raw,
    generationConfig,
    tokenizer: tokenizer.files,
    tensors: modelTensors(model),
    card: { name: 'bench', baseModel: source.baseModel },
  });
  const data = await loadPairs(values.data);
  const needed = settings.steps * settings.pairs;
  const { examples, tokens } = await tokenizePairs(data, tokenizer, { maxLength: settings.maxLength });
  if (examples.length < needed) {
    throw new Error(`The benchmark needs ${needed} pairs; ${values.data} has ${examples.length}.`);
  }
  const used = examples.slice(0, needed);
  const lines = (rows: readonly unknown[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');
  writeFileSync(
    inputs.pairs,
    lines(used.map(({ id, prompt, chosen, rejected }) => ({ id, ...chat(prompt, chosen, rejected) }))),
  );
  writeFileSync(
    inputs.tokens,
    lines(
      tokens.slice(0, needed).map(({ prompt, chosen, rejected }) => ({
        prompt: Array.from(prompt),
        chosen: Array.from(chosen),
        rejected: Array.from(rejected),
      })),
    ),
  );
  const prompts = tokens.slice(0, settings.prompts).map(({ prompt }) => ({ ids: Array.from(prompt) }));
  writeFileSync(inputs.prompts, lines(prompts));
  await writeThin(loaded, inputs.thinModel, inputs.thinPairs, needed);
  model.dispose();
  return inputs;
}

type Text = string | readonly { readonly role: string; readonly content: string }[];

/** Plain strings as chat messages, as both sides train a chat model. */
function chat(prompt: Text, chosen: Text, rejected: Text) {
  const messages = (text: Text, role: string) =>
    typeof text === 'string' ? [{ role, content: text }] : text;
  return {
    prompt: messages(prompt, 'user'),
    chosen: messages(chosen, 'assistant'),
    rejected: messages(rejected, 'assistant'),
  };
}

function measure(
  name: string,
  scenario: Scenario,
  settings: Settings,
  inputs: Inputs,
  python: string | undefined,
): Row {
  const rounds: Record<string, Measurement>[] = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    const measured: Record<string, Measurement> = { ours: runOurs(scenario, settings, inputs) };
    if (python !== undefined) {
      for (const peer of peerRuns(scenario))
        measured[peer.name] = runPeer(python, peer, scenario, settings, inputs);
    }
    rounds.push(measured);
    say(
      `  ${name}, round ${round + 1}: ${Object.entries(measured)
        .map(([who, m]) => `${who} ${rate(m).toFixed(2)}/s`)
        .join(', ')}`,
    );
  }
  return summarise(name, scenario, rounds);
}

function runOurs(scenario: Scenario, settings: Settings, inputs: Inputs): Measurement {
  const script = fileURLToPath(new URL('ours.js', import.meta.url));
  const { stdout, status } = spawnSync(
    process.execPath,
    [script, ...[scenario, settings, inputs].map((value) => JSON.stringify(value))],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 2 ** 28 },
  );
  if (status !== 0) throw new Error(`Our side failed with status ${status}.`);
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Measurement;
}

function rate({ units, seconds }: Measurement): number {
  return units / seconds;
}

/** Seconds a pair for a whole epoch: the step, and the reference pass where it was a pass of its own. */
function epochSeconds({ units, seconds, referenceSeconds, referencePairs }: Measurement): number {
  return seconds / units + (referenceSeconds && referencePairs ? referenceSeconds / referencePairs : 0);
}

function summarise(name: string, scenario: Scenario, rounds: readonly Record<string, Measurement>[]): Row {
  const ours = rounds.map((round) => round.ours!);
  const peers: Record<string, Row['peers'][string]> = {};
  for (const peer of Object.keys(rounds[0]!).filter((who) => who !== 'ours')) {
    const theirs = rounds.map((round) => round[peer]!);
    const memoryRatio =
      Math.max(...ours.map((m) => m.peakBytes)) / Math.max(...theirs.map((m) => m.peakBytes));
    peers[peer] = {
      rate: spread(theirs.map(rate)),
      ratio: ratios(ours.map(rate), theirs.map(rate)),
      memoryRatio,
    };
    if (scenario.kind === 'train') {
      const pace = (m: Measurement) => 1 / epochSeconds(m);
      peers[`${peer}, epoch`] = {
        rate: spread(theirs.map(pace)),
        ratio: ratios(ours.map(pace), theirs.map(pace)),
        memoryRatio,
      };
    }
  }
  const used = ours.filter((m) => m.usefulFlops !== undefined && m.peakFlops !== undefined);
  const utilisation = used.map((m) => m.usefulFlops! / m.seconds / m.peakFlops!);
  return {
    scenario: name,
    unit: UNITS[scenario.kind],
    ours: {
      rate: spread(ours.map(rate)),
      peakBytes: Math.max(...ours.map((m) => m.peakBytes)),
      ...(utilisation.length > 0 && { utilisation: spread(utilisation) }),
    },
    peers,
    measurements: rounds,
  };
}

function printRow({ scenario, unit, ours, peers, measurements }: Row): void {
  const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(2)} GiB`;
  const used =
    ours.utilisation === undefined
      ? ''
      : `, ${(100 * ours.utilisation.median).toFixed(0)} % of the matmul peak`;
  say(`${scenario}: ${format(ours.rate)} ${unit}, ${gib(ours.peakBytes)}${used}`);
  for (const [name, { rate: theirs, ratio, memoryRatio }] of Object.entries(peers)) {
    say(
      `    against ${name}: ${format(theirs)} ${unit} → ${format(ratio)}×, memory ${memoryRatio.toFixed(2)}×`,
    );
  }
  const losses = Object.entries(measurements[0]!).filter(([, m]) => m.losses !== undefined);
  for (const [who, m] of losses)
    say(
      `    losses, ${who}: ${m
        .losses!.slice(0, 6)
        .map((loss) => loss.toFixed(5))
        .join(' ')}`,
    );
  const own = measurements.map((round) => round.ours!.check as Record<string, number> | undefined);
  for (const [key, words] of Object.entries(OWN_CHECKS)) {
    const found = own.flatMap((check) => check?.[key] ?? []);
    if (found.length > 0) say(`    ${words}: ${format(spread(found), 3)}`);
  }
  const checks = Object.entries(measurements[0]!).filter(([, m]) => m.check !== undefined);
  if (checks.length > 1) say(`    same result: ${agreement(checks.map(([, m]) => m.check))}`);
}

/** Share of equal tokens, or the largest difference of the compared means. */
function agreement([ours, theirs]: readonly unknown[]): string {
  if (Array.isArray(ours) && Array.isArray(theirs)) {
    const a = (ours as number[][]).flat();
    const b = (theirs as number[][]).flat();
    const equal = a.filter((token, index) => token === b[index]).length;
    return `${equal} of ${a.length} tokens equal`;
  }
  const a = ours as Record<string, number>;
  const b = theirs as Record<string, number>;
  return Object.keys(a)
    .map((key) => `${key} ${a[key]!.toFixed(5)} and ${b[key]!.toFixed(5)}`)
    .join(', ');
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
