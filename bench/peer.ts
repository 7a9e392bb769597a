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

/** A way to run the peer. `precomputed` and `in-loop` are TRL's two modes, `default` its in-loop one as users run it. */
export type PeerName = 'precomputed' | 'in-loop' | 'default' | 'transformers';

/** The ways that a scenario's peer is run; none where there is nothing to compare with. */
export function peersOf(scenario: Scenario): readonly PeerName[] {
  switch (scenario.kind) {
    case 'train':
      return scenario.lora === undefined ? ['precomputed', 'in-loop', 'default'] : ['precomputed', 'in-loop'];
    case 'score':
    case 'generate':
      return ['transformers'];
    default:
      return [];
  }
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
  peer: PeerName,
  scenario: Scenario,
  settings: Settings,
  inputs: Inputs,
): Measurement {
  const { status, stdout, stderr } = spawnSync(python, peerArguments(peer, scenario, settings, inputs), {
    cwd: inputs.folder,
    encoding: 'utf8',
    env: { ...process.env, ...(peer !== 'default' && TUNED_ALLOCATOR) },
    maxBuffer: 2 ** 28,
  });
  if (status !== 0) throw new Error(`status ${status ?? 'none'}:\n${stderr.slice(-2000)}`);
  const reported = JSON.parse(stdout.trim().split('\n').at(-1)!) as Record<string, never>;
  return scenario.kind === 'train' ? trainMeasurement(reported) : otherMeasurement(scenario, reported);
}

function peerArguments(peer: PeerName, scenario: Scenario, settings: Settings, inputs: Inputs): string[] {
  const script = (name: string) => join(folder, name);
  if (scenario.kind === 'train') {
    const { precision, lora, data } = scenario;
    const { pairs, maxLength } = settings.batching[data];
    // Full fine-tuning needs fp32 weights to learn, LoRA's frozen base does not.
    const bf16 = lora === undefined ? 'amp' : 'bf16';
    return [
      script('train.py'),
      ...['--model', inputs.model, '--data', inputs.data[data].pairs],
      ...['--dtype', precision === 'bf16' ? bf16 : precision],
      ...['--steps', `${settings.steps}`, '--discard', `${settings.discard}`],
      ...['--batch', `${pairs}`, '--max-length', `${maxLength}`],
      ...(peer === 'precomputed' ? ['--precompute'] : []),
      ...(lora === undefined ? [] : ['--lora', `${lora}`]),
    ];
  }
  const precision = 'precision' in scenario ? scenario.precision : 'fp32';
  const common = ['--model', inputs.model, '--dtype', precision === 'bf16' ? 'bf16' : 'fp32'];
  return scenario.kind === 'score'
    ? [script('score.py'), ...common, '--data', inputs.data.hh.tokens]
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
