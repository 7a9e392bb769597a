import { UsageError } from '../../errors.ts';
import { suggest } from '../../suggest.ts';

/** A format by name. Throws `UsageError` for a name that is not one. */
export function formatNamed<F extends { readonly name: string }>(formats: readonly F[], name: string): F {
  const format = formats.find((candidate) => candidate.name === name);
  if (format !== undefined) return format;
  const names = formats.map((candidate) => candidate.name);
  const near = suggest(name, names);
  throw new UsageError('unknown-format', `There is no data format "${name}".`, {
    hint:
      near === undefined
        ? `Use one of ${names.join(', ')}.`
        : `Did you mean "${near}"? Known: ${names.join(', ')}.`,
  });
}
