import { existsSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CliContext } from '../context.ts';

/** Where a recipe argument is found: a path, or the name of a recipe that comes with the package. */
export function findRecipe(argument: string | undefined): string | undefined {
  if (argument === undefined) return undefined;
  if (existsSync(argument) || /[/\\.]/.test(argument)) return argument;
  const packaged = fileURLToPath(new URL(`../../../recipes/${argument}.yaml`, import.meta.url));
  return existsSync(packaged) ? relative(process.cwd(), packaged) : argument;
}

/** `--schema`: what an editor checks recipes by. */
export function printSchema(context: CliContext, schema: object): void {
  context.emit({ event: 'schema', schema });
  if (!context.json) context.print(JSON.stringify(schema, null, 2));
}
