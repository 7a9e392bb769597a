import { basename } from 'node:path';
import { type CommandUnknownOpts, InvalidArgumentError } from '@commander-js/extra-typings';
import type { Judge, JudgedPair, JudgeSummary, ServerUsage } from '../../evaluate/index.ts';
import { answersOf, promptsOf } from '../answers/sides.ts';
import { command, positiveInteger } from '../command.ts';
import type { CliContext } from '../context.ts';
import { asInterrupted } from '../interrupt.ts';
import {
  isAsked,
  noteEarlierReplies,
  OPENAI_URL,
  type OpenJudge,
  openAskedJudge,
  openRewardJudge,
  requireJudge,
} from '../judges.ts';
import { columnOption, DEVICE_HELP, dtypeOption, threadsOption } from '../options.ts';
import { plainLine } from '../paint.ts';
import { Progress } from '../progress.ts';
import { requireWritable } from '../writable.ts';

interface Prices {
  /** US dollars for a million tokens. */
  readonly prompt: number;
  readonly completion: number;
}

/** What `--json` prints last and `*.summary.json` holds. */
interface JudgeReport extends JudgeSummary {
  readonly usage: ServerUsage | null;
  /** US dollars spent by this command; null without prices. */
  readonly cost: number | null;
}

export function judgeCommand(context: CliContext): CommandUnknownOpts {
  return command(context, 'judge', 'let a judge compare two models’ answers, each pair in both orders', [
    'mallows judge --a dpo.jsonl --b mallows.jsonl --judge openai:gpt-4.1 --price 2,8',
    'mallows judge --a A.jsonl --b B.jsonl --judge openai:local --judge-url http://127.0.0.1:8080/v1',
    'mallows judge --a A.jsonl --b B.jsonl --judge "cmd:python my_judge.py" --output judged.jsonl',
    'mallows judge --a runs/a/model --b runs/b/model --prompts P.jsonl --chat --judge openai:gpt-4.1',
    'mallows judge --a tuned --b B.jsonl --prompts P.jsonl --server http://127.0.0.1:8000/v1 --judge cmd:judge',
  ])
    .requiredOption('--a <answers>', "A's answers (JSONL, as `mallows generate` writes them), or a model")
    .requiredOption('--b <answers>', "B's answers, or a model; a model answers --prompts greedily, here")
    .requiredOption(
      '--judge <judge>',
      'openai:MODEL, cmd:COMMAND (JSON lines), or a reward model’s directory or hub id',
    )
    .option('--prompts <file>', 'the prompts, if the answers do not repeat them, or to judge a part')
    .addOption(columnOption())
    .option('--chat', 'a model that answers takes a text prompt as a user’s turn')
    .option('--max-new-tokens <n>', 'length limit of a model’s answers', positiveInteger, 256)
    .addOption(dtypeOption())
    .option('--device <device>', DEVICE_HELP, 'auto')
    .addOption(threadsOption())
    .option('--server <url>', 'models answer on this OpenAI-compatible server, under their names there')
    .option('--server-key-env <name>', 'environment variable with its API key (default: none is sent)')
    .option('--judge-url <url>', 'OpenAI-compatible server', OPENAI_URL)
    .option('--key-env <name>', 'environment variable that holds the API key', 'OPENAI_API_KEY')
    .option('--template <name>', 'pairwise, logprobs, or a YAML file', 'pairwise')
    .option('--concurrency <n>', 'requests at once', positiveInteger, 8)
    .option('--timeout <seconds>', 'wait for an answer, at most 300', positiveInteger, 120)
    .option('--retries <n>', 'further attempts after 429, 5xx, time-outs, resets', positiveInteger, 8)
    .option('--price <in,out>', 'US dollars for a million tokens, to tell the cost', parsePrices)
    .option('--cache <file>', 'what servers and commands have answered (default: beside the output)')
    .option('--output <file>', 'verdicts, one pair a line', 'judged.jsonl')
    .action(async (options) => {
      requireWritable(options.output);
      await requireJudge(context, options.judge);
      const evaluate = await import('../../evaluate/index.ts');
      const { writeFileAtomic, writeJsonLines } = await import('../../runs/index.ts');
      const stem = options.output.replace(/\.jsonl$/, '');
      const a = await answersOf(context, options.a, `${stem}.a.jsonl`, options);
      const b = await answersOf(context, options.b, `${stem}.b.jsonl`, options);
      const pairs = evaluate.pairAnswers(a, b, await promptsOf(context, options));
      // A reward model is asked again at no price: nothing of an unfinished run is kept.
      const keeps = isAsked(options.judge);
      const interrupt = context.interruptible(
        keeps
          ? 'Stopping; what was judged is kept. Answers under way are waited for, unless interrupted again.'
          : 'Stopping.',
      );
      const progress = new Progress(context, { unit: 'pair' });
      let judge: OpenJudge | undefined;
      let judged: JudgedPair[];
      try {
        judge = keeps
          ? await openAskedJudge(options.judge, options.cache ?? `${stem}.cache.jsonl`, {
              ...options,
              note: (text) => progress.note(text),
            })
          : await openRewardJudge(context, options.judge, options);
        judged = await evaluate.judgePairs(pairs, judge, {
          signal: interrupt.signal,
          onProgress: (done, total) => progress.update({ done, total, fields: [] }),
        });
        progress.finish();
      } catch (error) {
        throw asInterrupted(
          error,
          interrupt.signal,
          keeps
            ? 'Interrupted. Run the same command again to go on: what was judged is kept.'
            : 'Interrupted; no verdict was written.',
        );
      } finally {
        interrupt.release();
        await judge?.close();
      }
      const report = reportOf(evaluate.summarizeVerdicts(judged, judge.name), judge, options.price);
      writeJsonLines(options.output, judged);
      writeFileAtomic(`${stem}.summary.json`, `${JSON.stringify(report, null, 2)}\n`);
      context.emit({ event: 'summary', ...report });
      if (!context.json) context.print(describe(report, ...sideNames(options.a, options.b)));
      noteEarlierReplies(context, judge);
      context.note(`Verdicts: ${options.output}`);
      evaluate.requireVerdicts(judged);
    });
}

/** How two files or models are called: by their last part, or by the whole path where that is the same. */
function sideNames(a: string, b: string): [string, string] {
  return basename(a) === basename(b) ? [a, b] : [basename(a), basename(b)];
}

function parsePrices(text: string): Prices {
  const [prompt, completion, ...more] = text.split(',').map(Number);
  if (!(prompt! >= 0 && completion! >= 0) || more.length > 0) {
    throw new InvalidArgumentError('Expected two prices, e.g. 2,8.');
  }
  return { prompt: prompt!, completion: completion! };
}

function reportOf(summary: JudgeSummary, judge: Judge, price: Prices | undefined): JudgeReport {
  const usage = judge.usage?.() ?? null;
  const cost =
    usage === null || price === undefined
      ? null
      : (usage.promptTokens * price.prompt + usage.completionTokens * price.completion) / 1e6;
  return { ...summary, usage, cost };
}

function describe(report: JudgeReport, a: string, b: string): string {
  const { n, wins, losses, ties, winRate, interval, pValue, usage, cost } = report;
  const lines = [verdict(report, a, b)];
  if (winRate !== null) {
    const range =
      interval === null ? '' : ` (95 % interval ${interval[0].toFixed(1)} to ${interval[1].toFixed(1)})`;
    lines.push(`win rate of ${a}: ${winRate.toFixed(1)} %${range}`);
    lines.push(
      `${wins} won, ${losses} lost, ${ties} tied of ${n} pairs; sign test p = ${pValue!.toPrecision(2)}`,
    );
  }
  if (report.weightedWinRate !== null) lines.push(`mean preference: ${report.weightedWinRate.toFixed(1)} %`);
  lines.push(...describeLeftOut(report));
  if (report.consistency !== null && report.firstPreferred !== null) {
    lines.push(
      `same verdict in both orders: ${(100 * report.consistency).toFixed(0)} %; what is shown first wins ${(100 * report.firstPreferred).toFixed(0)} % of decided verdicts`,
    );
  }
  if (usage !== null) {
    const money = cost === null ? '' : `, $${cost.toFixed(4)}`;
    lines.push(
      `${usage.requests} requests (${usage.retries} retries, ${usage.cached.answers} answers from the cache), ` +
        `${usage.promptTokens} + ${usage.completionTokens} tokens${money}`,
    );
  }
  return lines.join('\n');
}

/** Pairs without a verdict in one order or both. */
function describeLeftOut({ refused, cutOff, unparsable, firstRefusal }: JudgeReport): string[] {
  const reasons = [
    [refused, 'refused by the judge'],
    [cutOff, 'cut off before a verdict (max_tokens of the template)'],
    [unparsable, 'without a verdict that can be read'],
  ] as const;
  const told = reasons.flatMap(([pairs, why]) => (pairs > 0 ? [`${pairs} ${why}`] : []));
  if (told.length === 0) return [];
  const pairs = refused + cutOff + unparsable;
  return [
    `${pairs} ${pairs === 1 ? 'pair' : 'pairs'} left out, and the rates speak of the others alone: ${told.join(', ')}`,
    ...(firstRefusal === null ? [] : [`the first refusal: ${plainLine(firstRefusal, 300)}`]),
  ];
}

/** The answer in words: only what the interval and the test bear out. */
function verdict({ winRate, interval, pValue }: JudgeReport, a: string, b: string): string {
  if (winRate === null || interval === null || pValue === null) return 'Too few verdicts to say anything.';
  if (pValue < 0.05 && interval[0] > 50) return `${a} is better than ${b} in this judge's eyes.`;
  if (pValue < 0.05 && interval[1] < 50) return `${a} is worse than ${b} in this judge's eyes.`;
  return `No difference shown between ${a} and ${b}: what was judged fits an even match.`;
}
