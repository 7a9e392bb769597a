import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Inputs } from './inputs.ts';
import type { Measurement, Scenario, Settings } from './scenarios.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = join(root, 'bench/peer');

/** glibc settings that keep large buffers mapped: twice the speed of the default, and nobody sets them. */
const TUNED_ALLOCATOR = {
  MALLOC_MMAP_MAX_: '0',
  MALLOC_TRIM_THRESHOLD_: '20000000000',
  MALLOC_TOP_PAD_: '200000000',
};

export interface PeerRun {
  readonly name: string;
  readonly tuned: boolean;
  readonly precompute: boolean;
}

/** The ways the peer is run: training with the tuned and the default allocator, and with its reference in the step. */
export function peerRuns(scenario: Scenario): readonly PeerRun[] {
  if (scenario.kind !== 'train')
    return [{ name: 'transformers, tuned allocator', tuned: true, precompute: false }];
  return [
    { name: 'TRL, tuned allocator', tuned: true, precompute: scenario.lora === undefined },
    { name: 'TRL as users run it', tuned: false, precompute: false },
  ];
}

/**
 * The peer's Python: `MALLOWS_BENCH_PYTHON`, or a virtual environment of its own in `bench/peer/.venv`, made at first use
 * (several GB).
 */
export function peerPython(): string {
  const given = process.env.MALLOWS_BENCH_PYTHON;
  if (given !== undefined) return given;
  const python = join(folder, '.venv/bin/python');
  if (existsSync(python)) return python;
  process.stderr.write('Making the peer’s virtual environment in bench/peer/.venv\n');
  run('python3', ['-m', 'venv', join(folder, '.venv')]);
  run(python, ['-m', 'pip', 'install', '--quiet', '-r', join(folder, 'requirements.txt')]);
  return python;
}

function run(command: string, argv: readonly string[]): void {
  const { status, error } = spawnSync(command, argv, { stdio: 'inherit' });
  if (status !== 0)
    throw new Error(`${command} ${argv.join(' ')} failed: ${error?.message ?? `status ${status}`}`);
}

export function runPeer(
  python: string,
  peer: PeerRun,
  scenario: Scenario,
  settings: Settings,
  inputs: Inputs,
): Measurement {
  const { status, stdout, stderr } = spawnSync(python, peerArguments(peer, scenario, settings, inputs), {
    cwd: inputs.folder,
    encoding: 'utf8',
    env: { ...process.env, ...(peer.tuned && TUNED_ALLOCATOR) },
    maxBuffer: 2 ** 28,
  });
  if (status !== 0) throw new Error(`${peer.name} failed with status ${status}:\n${stderr.slice(-2000)}`);
  const reported = JSON.parse(stdout.trim().split('\n').at(-1)!) as Record<string, never>;
  return scenario.kind === 'train' ? trainMeasurement(reported) : otherMeasurement(scenario, reported);
}

function peerArguments(peer: PeerRun, scenario: Scenario, settings: Settings, inputs: Inputs): string[] {
  const script = (name: string) => join(folder, name);
  if (scenario.kind === 'train') {
    const dtype = scenario.precision === 'bf16' ? 'amp' : scenario.precision;
    return [
      script('train.py'),
      ...['--model', inputs.model, '--data', inputs.pairs, '--dtype', dtype],
      ...['--steps', `${settings.steps}`, '--discard', `${settings.discard}`, '--batch', `${settings.pairs}`],
      ...['--max-length', `${settings.maxLength}`],
      ...(peer.precompute ? ['--precompute'] : []),
      ...(scenario.lora === undefined ? [] : ['--lora', `${scenario.lora}`]),
    ];
  }
  const precision = 'precision' in scenario ? scenario.precision : 'fp32';
  const common = ['--model', inputs.model, '--dtype', precision === 'bf16' ? 'bf16' : 'fp32'];
  return scenario.kind === 'score'
    ? [script('score.py'), ...common, '--data', inputs.tokens]
    : [script('generate.py'), ...common, '--prompts', inputs.prompts, '--new', `${settings.newTokens}`];
}

interface TrainReport {
  readonly stepSeconds: readonly number[];
  readonly pairs: number;
  readonly tokens: number;
  readonly losses: readonly number[];
  readonly referenceSeconds: number | null;
  readonly referencePairs: number | null;
  readonly peakBytes: number;
}

function trainMeasurement(report: unknown): Measurement {
  const { stepSeconds, pairs, tokens, losses, referenceSeconds, referencePairs, peakBytes } =
    report as TrainReport;
  return {
    seconds: stepSeconds.reduce((a, b) => a + b, 0),
    units: pairs,
    tokens,
    losses,
    peakBytes,
    ...(referenceSeconds !== null && referencePairs !== null && { referenceSeconds, referencePairs }),
  };
}

interface OtherReport {
  readonly seconds: number;
  readonly peakBytes: number;
  readonly pairs?: number;
  readonly tokens?: number;
  readonly logp?: number;
  readonly entropy?: number;
  readonly new?: readonly (readonly number[])[];
}

function otherMeasurement(scenario: Scenario, report: unknown): Measurement {
  const { seconds, peakBytes, pairs, tokens, logp, entropy, new: generated } = report as OtherReport;
  return scenario.kind === 'score'
    ? { seconds, peakBytes, units: pairs!, check: { logp, entropy } }
    : { seconds, peakBytes, units: tokens!, check: generated };
}
