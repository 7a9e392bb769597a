/**
 * The benchmark: `npm run bench [-- --peer] [--scenario train-fp32 …] [--data FILE] [--rounds N] [--output FILE.json]`.
 *
 * Every measurement is a process of its own. With `--peer` the same work runs in TRL and transformers, ours and theirs in
 * turn, and ratios are taken round by round: machines are noisy, ratios within a run are not.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Figure, figuresOf, type Round, rate } from './figures.ts';
import { type Inputs, prepareInputs } from './inputs.ts';
import { machine } from './machine.ts';
import { type PeerName, peerPython, peersOf, runPeer } from './peer.ts';
import { MEASURES, type Measurement, SCENARIOS, type Scenario, type Settings, TARGETS } from './scenarios.ts';
import { limitText, machineText, markdownTable, type Row, targetText, valueText } from './table.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

const { values } = parseArgs({
  options: {
    peer: { type: 'boolean', default: false },
    scenario: { type: 'string', multiple: true },
    list: { type: 'boolean', default: false },
    model: { type: 'string', default: 'smollm2-135m:gguf' },
    data: { type: 'string', default: join(root, 'bench/data/hh.jsonl.gz') },
    'long-data': { type: 'string', default: join(root, 'bench/data/ultrafeedback.jsonl.gz') },
    rounds: { type: 'string', default: '3' },
    steps: { type: 'string', default: '8' },
    'max-length': { type: 'string', default: '512' },
    output: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

const HELP = `npm run bench -- [options]

  --scenario NAME     one of --list, again for more; default: all that this processor is made for
  --peer              the same work in TRL and transformers beside it
  --list              the scenarios and their targets
  --rounds N          processes of each side; default 3
  --steps N           steps of a process, two of them not counted; default 8
  --model M           default smollm2-135m:gguf
  --data FILE         pairs of train, lora, score and generate; default: bench/data/hh.jsonl.gz
  --long-data FILE    pairs of long; default: bench/data/ultrafeedback.jsonl.gz
  --max-length N      tokens of the former; default 512
  --output FILE.json  figures, measurements and machine, written anew after every scenario
`;

interface Result extends Row {
  readonly rounds: readonly Round[];
}

if (values.help) process.stdout.write(HELP);
else if (values.list) process.stdout.write(list());
else await main();

async function main(): Promise<void> {
  const settings: Settings = {
    steps: Number(values.steps),
    discard: 2,
    batching: {
      hh: { pairs: 4, maxLength: Number(values['max-length']) },
      long: { pairs: 2, maxLength: 1024 },
      shared: { pairs: 8, maxLength: 512 },
    },
    prompts: 16,
    newTokens: 64,
    tokenizedPairs: 10_000,
  };
  if (!(settings.steps > settings.discard)) throw new Error(`--steps has to be above ${settings.discard}.`);
  const facts = machine();
  const scenarios = chosen(facts.bf16Kernels);
  const python = values.peer ? peerPython() : undefined;
  const folder = mkdtempSync(join(tmpdir(), 'mallows-bench-'));
  try {
    say(machineText(facts));
    say(`Preparing ${values.model} and the data`);
    const sources = {
      hh: values.data,
      long: values['long-data'],
      shared: join(root, 'examples/data/quickstart-train.jsonl.gz'),
    };
    const inputs = await prepareInputs(folder, values.model, sources, settings);
    const results: Result[] = [];
    for (const [name, scenario] of scenarios) {
      const rounds = measure(name, scenario, settings, inputs, python);
      const figures = figuresOf(name, scenario, rounds);
      results.push({ scenario: name, kind: scenario.kind, figures, rounds });
      for (const line of remarks(scenario, figures, rounds)) say(`    ${line}`);
      if (values.output !== undefined) {
        const { model } = values;
        const report = { machine: facts, model, settings, results };
        writeFileSync(values.output, `${JSON.stringify(report, null, 2)}\n`);
      }
    }
    process.stdout.write(`\n${machineText(facts)}\n\n${markdownTable(results)}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function chosen(bf16Kernels: boolean): [string, Scenario][] {
  const names =
    values.scenario ?? Object.keys(SCENARIOS).filter((name) => bf16Kernels || !name.endsWith('bf16'));
  return names.map((name) => {
    const scenario = SCENARIOS[name];
    if (scenario !== undefined) return [name, scenario];
    throw new Error(`Unknown scenario "${name}". Known: ${Object.keys(SCENARIOS).join(', ')}`);
  });
}

function measure(
  name: string,
  scenario: Scenario,
  settings: Settings,
  inputs: Inputs,
  python: string | undefined,
): Round[] {
  const rounds: Round[] = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    const measured: { ours: Measurement } & Partial<Record<PeerName, Measurement>> = {
      ours: runOurs(scenario, settings, inputs),
    };
    const report = (who: string, what: string) => say(`  ${name}, round ${round + 1}, ${who}: ${what}`);
    report('ours', `${rate(measured.ours).toFixed(2)}/s`);
    for (const peer of python === undefined ? [] : peersOf(scenario)) {
      try {
        measured[peer] = runPeer(python!, peer, scenario, settings, inputs);
        report(peer, `${rate(measured[peer]).toFixed(2)}/s`);
      } catch (error) {
        // Out of memory, most often. What else there is to measure does not depend on it.
        report(peer, `failed with ${(error as Error).message}`);
      }
    }
    rounds.push(measured);
  }
  return rounds;
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

/** What shows that both sides do the same work, and the figures. */
function remarks(scenario: Scenario, figures: readonly Figure[], rounds: readonly Round[]): string[] {
  const sides = Object.entries(rounds[0]!);
  const losses = sides.flatMap(([who, { losses }]) =>
    losses === undefined
      ? []
      : [
          `losses, ${who}: ${losses
            .slice(0, 6)
            .map((loss) => loss.toFixed(5))
            .join(' ')}`,
        ],
  );
  const means = sides.flatMap(([who, { check }]) =>
    scenario.kind !== 'score' ? [] : [`means, ${who}: ${JSON.stringify(check)}`],
  );
  const lines = figures.map((figure) => {
    const target = targetText(figure);
    return `${MEASURES[figure.measure].label}: ${valueText(figure, scenario.kind)}${target && `  target ${target}`}`;
  });
  return [...losses, ...means, ...lines];
}

function list(): string {
  const lines = Object.entries(SCENARIOS).map(([name, { about }]) => {
    const targets = Object.entries(TARGETS[name] ?? {}).map(([measure, target]) => {
      const { label, unit } = MEASURES[measure as keyof typeof MEASURES];
      return `\n${' '.repeat(16)}${label} ${limitText(target, (limit) => `${unit === '%' ? 100 * limit : limit} ${unit}`)}`;
    });
    return `${name.padEnd(16)}${about}${targets.join('')}\n`;
  });
  return lines.join('');
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
