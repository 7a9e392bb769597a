import { dirname, join } from 'node:path';
import { type CommandUnknownOpts, Option } from '@commander-js/extra-typings';
import { UsageError } from '../../errors.ts';
import type { DispersionRow } from '../../objectives/index.ts';
import { command, decimal } from '../command.ts';
import type { CliContext } from '../context.ts';
import {
  columnOption,
  DEVICE_HELP,
  dtypeOption,
  FORMAT_HELP,
  MODEL_HELP,
  maxLengthOption,
  PAIRS_HELP,
  threadsOption,
} from '../options.ts';
import { plainLine } from '../paint.ts';
import { requireWritable } from '../writable.ts';

const SHOWN = 10;

export function dispersionCommand(context: CliContext): CommandUnknownOpts {
  return command(
    context,
    'dispersion',
    'dispersion of every prompt, from the entropy of a model or what the data say',
    [
      'mallows dispersion --model smollm2-135m --data pairs.jsonl --output dispersion.jsonl',
      'mallows dispersion --model runs/sft/model --data shp.jsonl.gz --max-length 512 --output d.jsonl',
      'mallows dispersion --source votes --data voted.jsonl --output d.jsonl',
    ],
  )
    .addOption(
      new Option('--source <source>', 'where w(x) comes from')
        .choices(['entropy', 'votes', 'column'] as const)
        .default('entropy' as const),
    )
    .option(
      '--floor <t>',
      'smallest −log φ that votes may give (default: contested pairs are left out)',
      decimal,
    )
    .option('--model <model>', `${MODEL_HELP}; for entropies`)
    .requiredOption('--data <data>', PAIRS_HELP)
    .option('--format <name>', FORMAT_HELP, 'auto')
    .addOption(columnOption())
    .addOption(maxLengthOption())
    .addOption(dtypeOption())
    .option('--device <device>', DEVICE_HELP, 'auto')
    .addOption(threadsOption())
    .option('--strict', 'stop at the first bad row')
    .requiredOption('--output <file>', 'a JSON object a pair; summary and histogram go beside it')
    .action(async (options) => {
      const { source, floor } = options;
      if (floor !== undefined && source !== 'votes') throw floorWithoutVotes(source);
      requireWritable(options.output);
      const { dispersionData } = await import('../dispersion-rows.ts');
      const { lastTurn } = await import('../../data/index.ts');
      const { fitDispersion } = await import('../../objectives/index.ts');
      const { byPrompt, dispersionEnds, dispersionHistogram, writeFigure } = await import(
        '../../report/index.ts'
      );
      const { writeFileAtomic, writeJsonLines } = await import('../../runs/index.ts');
      const { pairs, rows, vocabularySize } = await dispersionData(context, options);
      const given = {
        source,
        ...(vocabularySize && { vocabularySize }),
        ...(floor !== undefined && { floor }),
      };
      const { weights, kept, contested, summary } = fitDispersion(rows, given);
      if (contested.length > 0) {
        context.note(`${contested.length} contested pairs are left out; --floor keeps them.`);
      }
      const lines = Array.from(kept, (row, index) => ({
        id: rows[row]!.id,
        ...entropyOf(rows[row]!, vocabularySize),
        negLogDispersion: weights[index]!,
        dispersion: Math.exp(-weights[index]!),
      }));
      const stem = options.output.replace(/\.jsonl$/, '');
      const { phiStar, count, mean, sd, skew } = summary;
      const figure = dispersionHistogram([...weights], { of: 'pairs', source });
      writeJsonLines(options.output, lines);
      writeFileAtomic(
        `${stem}.summary.json`,
        `${JSON.stringify({ phiStar, vocabularySize, count, mean, sd, skew }, null, 2)}\n`,
      );
      const name = `${stem.slice(dirname(stem) === '.' ? 0 : dirname(stem).length + 1)}.histogram`;
      const { svg } = await writeFigure(dirname(stem), { ...figure, name });
      print(
        context,
        byPrompt(
          lines.map(({ negLogDispersion: w }, index) => ({
            w,
            prompt: lastTurn(pairs[kept[index]!]!.prompt),
          })),
        ),
        dispersionEnds(source),
      );
      context.print(
        `phi* ${phiStar.toFixed(4)}, w: sd ${sd.toFixed(3)}, skew ${skew.toFixed(2)}, ${count} pairs`,
      );
      context.note(`wrote ${options.output}, ${stem}.summary.json, ${join(svg)}`);
      context.emit({ event: 'done', output: options.output, phiStar, vocabularySize, count, mean, sd, skew });
    });
}

/** Mean entropy of both answers as a share of log n, where the source is entropies. */
function entropyOf(
  { chosenEntropy, rejectedEntropy }: DispersionRow,
  vocabularySize: number | undefined,
): { readonly entropy?: number } {
  if (vocabularySize === undefined) return {};
  return { entropy: (chosenEntropy! + rejectedEntropy!) / 2 / Math.log(vocabularySize) };
}

function floorWithoutVotes(source: string): UsageError {
  return new UsageError(
    'floor-without-votes',
    `--floor is the smallest −log φ that votes may give, and --source ${source} reads none.`,
    { hint: 'Leave --floor out, or give --source votes.' },
  );
}

/** @param order each prompt once, smallest weight first */
function print(
  context: CliContext,
  order: readonly { readonly w: number; readonly prompt: string }[],
  ends: { readonly most: string; readonly least: string },
): void {
  const list = (title: string, entries: readonly (typeof order)[number][]): void => {
    context.print(context.paint.bold(title));
    for (const { w, prompt } of entries) context.print(`  ${w.toFixed(3)}  ${plainLine(prompt, 100)}`);
  };
  list(`Most dispersed (smallest w). ${ends.most}:`, order.slice(0, SHOWN));
  list(`Least dispersed (largest w). ${ends.least}:`, order.slice(-SHOWN).reverse());
}
