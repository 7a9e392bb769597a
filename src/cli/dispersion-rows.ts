import { readingOptions } from '../config/reading.ts';
import type { PreferencePair } from '../data/index.ts';
import { UsageError } from '../errors.ts';
import type { DispersionRow, DispersionSource } from '../objectives/index.ts';
import type { CliContext } from './context.ts';
import { noteRows } from './data.ts';
import { hubData } from './model.ts';
import { type ScoringOptions, scoreData } from './scoring.ts';

export interface DispersionFlags extends Omit<ScoringOptions, 'model'> {
  /** For entropies. */
  readonly model?: string;
  readonly source: Exclude<DispersionSource, 'none'>;
}

/** Pairs with what a source of dispersion reads of each, in one order. */
export interface DispersionData {
  readonly pairs: readonly PreferencePair[];
  readonly rows: readonly DispersionRow[];
  /** Of the model whose entropies they are. */
  readonly vocabularySize?: number;
}

/** Reads pairs, and scores them under the model where their entropies are asked for. */
export async function dispersionData(context: CliContext, flags: DispersionFlags): Promise<DispersionData> {
  const { model, source } = flags;
  if (source !== 'entropy') return statedData(context, flags);
  if (model === undefined) {
    throw new UsageError(
      'missing-model',
      'Dispersion from entropies needs the model whose entropies they are.',
      {
        hint: 'Give --model, or another --source: votes, column.',
      },
    );
  }
  const { pairs, scores, vocabularySize } = await scoreData(context, { ...flags, model });
  const rows = scores.map(({ id, chosen, rejected }) => ({
    id,
    chosenEntropy: chosen.entropy,
    rejectedEntropy: rejected.entropy,
  }));
  return { pairs, rows, vocabularySize };
}

/** Pairs that say themselves how much people agree. No tokenizer is asked. */
async function statedData(
  context: CliContext,
  { data, format, column, strict = false }: DispersionFlags,
): Promise<DispersionData> {
  const { loadPairs } = await import('../data/index.ts');
  const reading = readingOptions(format, { strict, columns: column });
  const {
    examples: pairs,
    locations,
    ...loaded
  } = await loadPairs(data, { ...reading, hub: await hubData(context) });
  await noteRows(context, { ...loaded, usable: pairs.length, cut: { examples: 0, tokens: 0 } });
  const rows = pairs.map(({ id, votes, dispersion }, index) => ({
    id,
    at: locations[index]!,
    ...(votes && { votes }),
    ...(dispersion !== undefined && { dispersion }),
  }));
  return { pairs, rows };
}
