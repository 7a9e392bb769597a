import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import { EngineError } from '../../errors.ts';
import { command } from '../command.ts';
import type { CliContext } from '../context.ts';

const SCRIPT = fileURLToPath(new URL('../../../scripts/setup/main.mjs', import.meta.url));

export function setupCommand(context: CliContext): CommandUnknownOpts {
  return command(context, 'setup', 'find or fetch the engine and build the addon', [
    'mallows setup                      again only does what is missing',
    'MALLOWS_TORCH=/opt/torch mallows setup   use a PyTorch that is on the machine',
  ]).action(async () => {
    const code = await new Promise<number | null>((resolve, reject) => {
      const child = spawn(process.execPath, [SCRIPT], {
        stdio: ['inherit', context.json ? 2 : 'inherit', 'inherit'],
      });
      child.on('error', reject);
      child.on('close', resolve);
    });
    if (code !== 0) {
      throw new EngineError('setup-failed', `Setting up the engine failed (exit code ${code}).`, {
        hint: 'The lines above say what is missing.',
      });
    }
    context.emit({ event: 'done' });
  });
}
