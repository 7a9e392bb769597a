import { basename, dirname } from 'node:path';
import { type CommandUnknownOpts, Option } from '@commander-js/extra-typings';
import type { Frontier } from '../../evaluate/index.ts';
import { command } from '../command.ts';
import type { CliContext } from '../context.ts';
import { requireWritable } from '../writable.ts';

export function frontierCommand(context: CliContext): CommandUnknownOpts {
  return command(context, 'frontier', 'draw what was gained against the distance from the reference', [
    'mallows frontier runs/dpo runs/mallows-phi --output frontier.svg',
    'mallows frontier runs/dpo-beta-* runs/phi-beta-* --over beta --json',
  ])
    .argument('<runs...>', 'run directories; those that differ by the seed alone are averaged')
    .addOption(
      new Option('--over <what>', 'a point an evaluation, or a point a β')
        .choices(['steps', 'beta'] as const)
        .default('steps' as const),
    )
    .option(
      '--metric <name>',
      'a name of metrics.jsonl without eval_ (default: log_ratio/accuracies where every evaluation has log-ratios, else rewards/accuracies)',
    )
    .option('--output <file>', 'the figure; a PNG is written beside it', 'frontier.svg')
    .action(async (paths, { over, metric: asked, output }) => {
      requireWritable(output);
      const { frontiers, loggedRange } = await import('../../evaluate/index.ts');
      const { scatterChart, writeFigure } = await import('../../report/index.ts');
      const lines = frontiers(paths, { over, ...(asked !== undefined && { metric: asked }) });
      const { metric } = lines[0]!;
      const range = loggedRange(metric);
      const figure = scatterChart({
        name: basename(output).replace(/\.(svg|png)$/i, ''),
        title: `${metric} against KL`,
        subtitle: over === 'beta' ? 'One point a β' : 'One point an evaluation, joined along training',
        description: `${metric} on held-out pairs against the KL to the reference for ${lines.map(({ method }) => method).join(', ')}.`,
        x: { label: 'KL to the reference (nats an answer)', range: [0, Number.POSITIVE_INFINITY] },
        y: { label: metric, ...(range && { range }) },
        series: lines.map(({ method, points }) => ({
          label: method,
          points: points.map(({ kl, value }) => ({ x: kl, y: value })),
        })),
        connect: true,
      });
      const { svg, png } = await writeFigure(dirname(output), figure);
      for (const line of lines) context.emit({ event: 'frontier', ...line });
      for (const note of lines.flatMap(({ notes }) => notes)) context.note(note);
      if (!context.json) context.print(lines.map((line) => describe(line, over)).join('\n\n'));
      context.note(`Figure: ${svg}, ${png}`);
    });
}

function describe({ method, points }: Frontier, over: 'steps' | 'beta'): string {
  const rows = points.map(
    ({ at, kl, value, runs }) =>
      `  ${over === 'beta' ? 'β' : 'step'} ${String(at).padEnd(6)}  KL ${kl.toFixed(3).padStart(8)}  ${value.toFixed(4)}${runs > 1 ? `  (${runs} runs)` : ''}`,
  );
  return [method, ...rows].join('\n');
}
