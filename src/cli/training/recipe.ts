import type { CliContext } from '../context.ts';

/** `--schema`: what an editor checks recipes by. */
export function printSchema(context: CliContext, schema: object): void {
  context.emit({ event: 'schema', schema });
  if (!context.json) context.print(JSON.stringify(schema, null, 2));
}
