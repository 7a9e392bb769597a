import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import { UsageError } from '../../errors.ts';
import type { ComparisonReport, Method, MetricDifference, RunFiles } from '../../evaluate/index.ts';
import type { ComparisonSamples } from '../../report/index.ts';
import { collect, command } from '../command.ts';
import type { CliContext } from '../context.ts';
import { requireWritable } from '../writable.ts';

export function compareCommand(context: CliContext): CommandUnknownOpts {
  return command(context, 'compare', 'say which run is better, by how much, and how sure that is', [
    'mallows compare runs/dpo runs/mallows-theta',
    'mallows compare runs/dpo-seed-* runs/theta-seed-* --report compare.html',
    'mallows compare runs/dpo runs/theta --rewards runs/dpo=dpo.jsonl --rewards runs/theta=theta.jsonl',
  ])
    .argument('<runs...>', 'run directories; the first is what the others are compared with')
    .option('--answers <run=file>', "a run's answers (default: answers.jsonl in the run)", collect)
    .option('--rewards <run=file>', 'rewards of its answers (default: rewards.jsonl)', collect)
    .option('--judged <run=file>', 'verdicts with the run as A (default: judged.jsonl)', collect)
    .option(
      '--dispersion <file>',
      'w(x) of what was answered, by id, from mallows dispersion (default for held-out pairs: eval-dispersion.jsonl of a run)',
    )
    .option('--output <file>', 'write the comparison as JSON')
    .option('--report <file>', 'write it as a page')
    .action(async (paths, options) => {
      for (const path of [options.output, options.report]) if (path !== undefined) requireWritable(path);
      const evaluate = await import('../../evaluate/index.ts');
      const files = filesByRun(paths, options);
      const runs = await Promise.all(paths.map((path) => evaluate.loadEvidence(path, files.get(path))));
      const methods = evaluate.groupBySeed(runs);
      if (methods.length < 2) {
        throw new UsageError(
          'one-method',
          `${paths.length} run${paths.length === 1 ? '' : 's'} of one method; expected two methods or more.`,
          {
            hint: 'Runs whose recipes differ by the seed alone count as one method.',
          },
        );
      }
      const weights = await evaluate.readWeights(paths, options.dispersion);
      const report = evaluate.compareMethods(methods, { weights });
      if (options.output !== undefined) {
        const { writeFileAtomic } = await import('../../runs/index.ts');
        writeFileAtomic(options.output, `${JSON.stringify(report, null, 2)}\n`);
      }
      if (options.report !== undefined) {
        const { writeComparisonReport } = await import('../../report/index.ts');
        const { RunReader } = await import('../../runs/index.ts');
        const samples = await readSamples(evaluate, methods, files, weights.answers);
        const recipes = new Map(paths.map((path) => [path, new RunReader(path).recipeText()]));
        await writeComparisonReport(options.report, { report, recipes, ...(samples && { samples }) });
        context.note(`Report: ${options.report}`);
      }
      context.emit({ event: 'comparison', ...report });
      if (!context.json) context.print(describe(report, evaluate, context));
    });
}

const SHOWN_WINNER = { a: 'first', b: 'second', tie: 'tie' } as const;

type Evaluate = typeof import('../../evaluate/index.ts');

/** The judged pairs of the first run that has any, newest method first: what a reader wants to see is the change. */
async function readSamples(
  evaluate: Evaluate,
  methods: readonly Method[],
  files: ReadonlyMap<string, RunFiles>,
  weights: ReadonlyMap<string, number> | undefined,
): Promise<ComparisonSamples | undefined> {
  // Where the first method was not judged itself, it is what the others were judged against.
  const headToHead = methods[0]!.runs.every(({ metrics }) => metrics.winRate === undefined);
  for (const { name, runs } of methods.toReversed()) {
    for (const { path } of runs) {
      const judged = evaluate.runFile(path, 'judged', files.get(path));
      if (judged === undefined) continue;
      const pairs = (await evaluate.readJudgedPairs(judged)).map((pair) => {
        const { id, prompt, a, b } = pair;
        const w = weights?.get(id);
        return {
          prompt,
          answers: [a, b] as const,
          ...('winner' in pair
            ? { winner: SHOWN_WINNER[pair.winner] }
            : { winner: 'none' as const, reason: evaluate.NO_VERDICT[pair.reason] }),
          ...(w !== undefined && { negLogDispersion: w }),
        };
      });
      return { names: [name, headToHead ? methods[0]!.name : 'opponent'], pairs };
    }
  }
  return undefined;
}

/** `--answers RUN=FILE` and its like, by run. */
function filesByRun(
  paths: readonly string[],
  options: { answers?: string[]; rewards?: string[]; judged?: string[] },
): Map<string, RunFiles> {
  const files = new Map<string, RunFiles>();
  for (const name of ['answers', 'rewards', 'judged'] as const) {
    for (const text of options[name] ?? []) {
      const run = paths.find((path) => text.startsWith(`${path}=`));
      if (run === undefined) {
        throw new UsageError('unknown-run', `--${name} ${text} names none of the runs.`, {
          hint: `Write --${name} RUN=FILE with a run as on the command line: ${paths.join(', ')}.`,
        });
      }
      files.set(run, { ...files.get(run), [name]: text.slice(run.length + 1) });
    }
  }
  return files;
}

function describe(
  report: ComparisonReport,
  { METRICS, formatMetric }: Evaluate,
  { paint }: CliContext,
): string {
  const measured = METRICS.filter(({ name }) => report.methods.some(({ metrics }) => name in metrics));
  const named = report.methods.map(({ method, seeds }) =>
    seeds > 1 ? `${method} (${seeds} seeds)` : method,
  );
  const width = Math.max(...named.map((name) => name.length), 12);
  const lines = report.verdict.map((sentence) => paint.bold(sentence));
  for (const kind of measured) {
    const { name, label, unit } = kind;
    lines.push('', paint.dim(`${label}${unit === '' ? '' : ` (${unit})`}`));
    const number = (value: number) => formatMetric(value, kind);
    const withInterval = ({ estimate, low, high }: MetricDifference) =>
      `${number(estimate)} [${number(low)}, ${number(high)}]`;
    for (const [i, { method, metrics }] of report.methods.entries()) {
      const estimate = metrics[name];
      if (estimate === undefined) continue;
      const { interval } = estimate;
      const range = interval === null ? '' : ` [${number(interval[0])}, ${number(interval[1])}]`;
      const comparison = report.comparisons.find((each) => each.metric === name && each.method === method);
      const against =
        comparison === undefined
          ? ''
          : `   difference ${withInterval(comparison)}, ${pValueText(comparison.adjustedPValue)}`;
      lines.push(`  ${named[i]!.padEnd(width)}  ${number(estimate.estimate)}${range}${against}`);
      const thirds = report.thirds.filter((each) => each.metric === name && each.method === method);
      if (thirds.length > 0) {
        const words = thirds.map((each) => `${each.third} ${withInterval(each)}`);
        lines.push(paint.dim(`    difference by thirds of w(x): ${words.join(', ')}`));
      }
    }
  }
  return [...lines, '', ...report.notes.map((note) => paint.dim(note))].join('\n').trimEnd();
}

function pValueText(p: number): string {
  return `p ${p < 0.001 ? '< 0.001' : `= ${p.toPrecision(2)}`}`;
}
