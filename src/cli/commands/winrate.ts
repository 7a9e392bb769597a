import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import type { WinRate } from '../../evaluate/winrate/win-rate.ts';
import { command } from '../command.ts';
import type { CliContext } from '../context.ts';
import { requireWritable } from '../writable.ts';

export function winrateCommand(context: CliContext): CommandUnknownOpts {
  return command(context, 'winrate', 'win rates from AlpacaEval annotations, plain and length-controlled', [
    'mallows winrate results/my-model/annotations.json',
    'mallows winrate annotations.csv.gz --items items.csv.gz --gamed gamed.csv.gz --json',
  ])
    .argument('<annotations>', "AlpacaEval's annotations.json, or CSV: model,index,output_len,preference")
    .option('--items <file>', 'CSV: index,dataset,baseline_len,instruction_difficulty')
    .option('--gamed <file>', 'CSV: gamed_model,index,output_len,pseudo_preference (exact LC figures)')
    .option('--output <file>', '.jsonl: an object a model and line; .json: see below')
    .addHelpText(
      'after',
      '\nA .json file holds the object of the one model that was annotated, or an array of them for several.',
    )
    .action(async (path, options) => {
      if (options.output !== undefined) requireWritable(options.output);
      const { readAnnotations, readGamed, readItems } = await import('../../evaluate/winrate/annotations.ts');
      const { winRate } = await import('../../evaluate/winrate/win-rate.ts');
      const inputs = {
        ...(options.items !== undefined && { items: await readItems(options.items) }),
        ...(options.gamed !== undefined && { gamed: await readGamed(options.gamed) }),
      };
      const results = (await readAnnotations(path)).map((annotations) => winRate(annotations, inputs));
      for (const result of results) context.emit({ event: 'winrate', ...result });
      if (!context.json) context.print(describe(results, context));
      if (options.output !== undefined) {
        const { writeFileAtomic, writeJsonLines } = await import('../../runs/index.ts');
        if (options.output.endsWith('.jsonl')) writeJsonLines(options.output, results);
        else {
          const content = results.length === 1 ? results[0] : results;
          writeFileAtomic(options.output, `${JSON.stringify(content, null, 2)}\n`);
        }
      }
    });
}

function describe(results: readonly WinRate[], { paint }: CliContext): string {
  const nameWidth = Math.max(5, ...results.map(({ model }) => model.length));
  const header = `${'model'.padEnd(nameWidth)}  ${'LC win rate'.padStart(11)}  ${'win rate'.padStart(15)}  ${'n'.padStart(5)}  ${'length'.padStart(6)}`;
  const lines = results.map((result) => {
    const lc =
      result.lcWinRate === null ? '–' : `${result.lcApproximate ? '≈' : ''}${result.lcWinRate.toFixed(2)}`;
    const error = result.standardError === null ? '' : ` ± ${result.standardError.toFixed(2)}`;
    const plain = `${result.winRate.toFixed(2)}${error}`;
    return `${result.model.padEnd(nameWidth)}  ${lc.padStart(11)}  ${plain.padStart(15)}  ${String(result.n).padStart(5)}  ${result.averageLength.toFixed(0).padStart(6)}`;
  });
  const notes = new Set(results.flatMap((result) => result.notes));
  if (results.some(({ lcWinRate }) => lcWinRate === null)) notes.add('The lengths come with --items.');
  return [paint.dim(header), ...lines, ...[...notes].map((note) => paint.yellow(note))].join('\n');
}
