/** The program as a process of its own, from its sources: node run-typescript.mjs cli-process.ts ARGUMENT … */
import { main } from '../../src/cli/main.ts';

process.exit(await main(process.argv.slice(3)));
