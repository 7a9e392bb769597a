/** The program from its sources, so that it can start itself again, as a sweep does: node mallows.mjs ARGUMENT … */
import { fileURLToPath } from 'node:url';

process.argv.splice(2, 0, fileURLToPath(new URL('cli-process.ts', import.meta.url)));
await import('./run-typescript.mjs');
