import { existsSync } from 'node:fs';
import { availableParallelism, freemem, totalmem } from 'node:os';
import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import { mallowsCache } from '../../checkpoints/files.ts';
import { type HubSettings, hubSettings } from '../../checkpoints/hub/settings.ts';
import type { EngineInfo } from '../../engine/index.ts';
import { EngineError } from '../../errors.ts';
import { formatBytes } from '../../units.ts';
import { command } from '../command.ts';
import type { CliContext } from '../context.ts';

const HUB_TIMEOUT = 2000;

/** What `mallows doctor --json` prints. */
interface Findings {
  readonly node: string;
  readonly platform: string;
  readonly cores: number;
  readonly memory: { readonly total: number; readonly free: number };
  readonly engine: EngineInfo | { readonly error: string; readonly hint?: string };
  readonly caches: Readonly<Record<string, { readonly path: string; readonly exists: boolean }>>;
  readonly hub: { readonly endpoint: string; readonly reachable: boolean; readonly detail: string };
}

export function doctorCommand(context: CliContext): CommandUnknownOpts {
  return command(context, 'doctor', 'say what was found: engine, devices, memory, caches, hub', [
    'mallows doctor',
    'mallows doctor --json | jq .engine',
  ]).action(async () => {
    const hub = hubSettings();
    const findings: Findings = {
      node: process.version,
      platform: `${process.platform}-${process.arch}`,
      cores: availableParallelism(),
      memory: { total: totalmem(), free: freemem() },
      engine: await inspectEngine().catch((error: unknown) => {
        if (!(error instanceof EngineError)) throw error;
        return { error: error.message, ...(error.hint === undefined ? {} : { hint: error.hint }) };
      }),
      caches: inspectCaches(hub),
      hub: await inspectHub(hub),
    };
    context.emit({ event: 'findings', ...findings });
    if (!context.json) context.print(describe(findings, context));
    if ('error' in findings.engine) {
      throw new EngineError('engine-missing', findings.engine.error, {
        hint: findings.engine.hint ?? 'Run `mallows setup`.',
      });
    }
  });
}

async function inspectEngine(): Promise<EngineInfo> {
  const { engineInfo } = await import('../../engine/index.ts');
  return engineInfo();
}

function inspectCaches({ cacheDirectory }: HubSettings): Findings['caches'] {
  const paths = { models: cacheDirectory, engine: mallowsCache() };
  return Object.fromEntries(
    Object.entries(paths).map(([name, path]) => [name, { path, exists: existsSync(path) }]),
  );
}

async function inspectHub({ endpoint, offline }: HubSettings): Promise<Findings['hub']> {
  if (offline) return { endpoint, reachable: false, detail: 'HF_HUB_OFFLINE is set' };
  try {
    const response = await fetch(endpoint, { method: 'HEAD', signal: AbortSignal.timeout(HUB_TIMEOUT) });
    return { endpoint, reachable: true, detail: `HTTP ${response.status}` };
  } catch (error) {
    const cause = (error as { cause?: { code?: string } }).cause?.code ?? (error as Error).name;
    return { endpoint, reachable: false, detail: `no answer within ${HUB_TIMEOUT / 1000} s (${cause})` };
  }
}

function describe(findings: Findings, { paint }: CliContext): string {
  const { engine, memory, caches, hub } = findings;
  const rows: [string, string][] = [
    ['machine', `${findings.platform}, ${findings.cores} cores, Node ${findings.node}`],
    ['memory', `${formatBytes(memory.total)}, ${formatBytes(memory.free)} free`],
  ];
  if ('error' in engine) {
    rows.push(['engine', 'not ready, see below']);
  } else {
    rows.push(
      ['engine', `libtorch ${engine.torchVersion} (${engine.source}), ${engine.torch}`],
      ['devices', `${engine.devices.join(', ')} (CUDA: ${engine.cuda})`],
      ['threads', `${engine.threads}, ${engine.cpuCapability} kernels`],
      ['bf16', bf16Note(engine)],
      ['allocator', engine.allocator],
    );
  }
  for (const [name, { path, exists }] of Object.entries(caches)) {
    rows.push([`${name} cache`, `${path}${exists ? '' : ' (not there yet)'}`]);
  }
  rows.push(['hub', `${hub.endpoint}: ${hub.reachable ? 'reachable' : 'not reachable'}, ${hub.detail}`]);
  return rows.map(([name, value]) => `${paint.dim(name.padEnd(13))} ${value}`).join('\n');
}

function bf16Note({ bf16Kernels, products }: EngineInfo): string {
  if (products.bfloat16 === 'tiles') return 'multiplied in hardware, on matrix tiles (AMX)';
  return bf16Kernels ? 'multiplied in hardware' : 'no hardware kernels: fp32 is faster here';
}
