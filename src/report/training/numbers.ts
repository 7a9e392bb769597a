import { overlapWords } from '../../evaluate/index.ts';
import { clusterBootstrap, mean, summarize } from '../../stats/index.ts';
import type {
  Estimate,
  HeldOutLoss,
  HeldOutNumbers,
  HeldOutPairs,
  KlLevel,
  MeasuredKl,
  TrainingNumbers,
  TrainingReportInput,
  UsedDispersion,
} from './contract.ts';
import { dataNumbers } from './data.ts';
import type { ObjectiveFacts } from './objective.ts';
import { pairVerdict, textVerdict } from './verdict.ts';

const SEED = 'training-report';

/** `report.json` of a run: its numbers, and the verdict that they carry. */
export function summarizeRun(
  input: TrainingReportInput,
  objective: ObjectiveFacts | undefined,
): TrainingNumbers {
  const last = input.metrics.at(-1);
  const { dispersion } = input;
  const { verdict, ...measured } =
    input.objective === undefined ? judgeTexts(input) : judgePairs(input, objective);
  const kl = klLevels(input);
  const data = dataNumbers(input.provenance);
  const overlap = data?.promptOverlap;
  return {
    finished: input.finished,
    steps: last?.step ?? 0,
    final: last ?? {},
    ...(data && { data }),
    ...(dispersion && { dispersion: summarizeDispersion(dispersion) }),
    ...measured,
    ...(kl.length > 0 && { kl }),
    verdict: [
      ...(input.finished ? [] : ['The run was interrupted: these are its numbers so far.']),
      ...verdict,
      ...(overlap !== undefined && overlap.trainedOn > 0
        ? [overlapWords(overlap, input.objective === undefined ? 'texts' : 'pairs')]
        : []),
      ...(dispersion?.shuffled === true
        ? ['This run is a control: its weights w(x) were dealt to the prompts at random.']
        : []),
    ],
  };
}

/** Whether a loss is that of the reference under a log-likelihood of pairs: ln 2, up to what bf16 leaves of it. */
export function knowsNothing(loss: number): boolean {
  return Math.abs(loss - Math.LN2) < 5e-4;
}

function summarizeDispersion({
  prompts,
  phiStar,
  source,
  shuffled,
}: UsedDispersion): NonNullable<TrainingNumbers['dispersion']> {
  return { ...summarize(prompts.map((prompt) => prompt.negLogDispersion)), phiStar, source, shuffled };
}

type Judged = Pick<TrainingNumbers, 'heldOut' | 'heldOutTexts' | 'verdict'>;

function judgePairs({ heldOut }: TrainingReportInput, objective: ObjectiveFacts | undefined): Judged {
  if (heldOut === undefined || heldOut.prompts.length === 0) {
    return { verdict: ['No held-out pairs: whether the model learnt is not known.'] };
  }
  if (new Set(heldOut.prompts).size === 1) {
    const words = `All held-out pairs (${heldOut.prompts.length}) are of one prompt: whether the model learnt anything about others is not known.`;
    return { verdict: [words] };
  }
  const measured = summarizePairs(heldOut, objective);
  return { heldOut: measured, verdict: pairVerdict(measured, objective) };
}

function summarizePairs(heldOut: HeldOutPairs, objective: ObjectiveFacts | undefined): HeldOutNumbers {
  const { prompts, lossesBefore, lossesAfter, marginsBefore, marginsAfter, correctAfter } = heldOut;
  const overPrompts = (values: Float64Array) => intervalOver(values, prompts);
  const changeOf = (before: Float64Array, after: Float64Array) =>
    overPrompts(after.map((value, pair) => value - before[pair]!));
  // Rewards from the reference are 0 before training; what rounding makes of that is no order of the pairs.
  const correctBefore =
    objective?.fromReference === true ? correctAfter.map(() => 0.5) : heldOut.correctBefore;
  const loss = overPrompts(lossesAfter);
  const lossBefore = mean(lossesBefore);
  const byLogRatio = otherOrder(heldOut, objective);
  return {
    pairs: lossesAfter.length,
    prompts: new Set(prompts).size,
    lossBefore,
    loss,
    lossChange: changeOf(lossesBefore, lossesAfter),
    marginBefore: mean(marginsBefore),
    marginChange: changeOf(marginsBefore, marginsAfter),
    accuracyBefore: mean(correctBefore),
    accuracy: overPrompts(correctAfter),
    accuracyChange: changeOf(correctBefore, correctAfter),
    ...(byLogRatio && { accuracyByLogRatio: overPrompts(byLogRatio) }),
    ...(heldOut.chosenLogRatios && { chosenLogRatio: overPrompts(heldOut.chosenLogRatios) }),
    ...(knowsNothing(lossBefore) ? { belowLn2: loss.high < Math.LN2 } : {}),
  };
}

/** How log-ratios order the pairs, where the objective's own rewards are others or order them otherwise. */
function otherOrder(
  { correctAfter, correctByLogRatio }: HeldOutPairs,
  objective: ObjectiveFacts | undefined,
): Float64Array | undefined {
  if (objective?.fromReference === false) return correctByLogRatio;
  return correctByLogRatio?.some((value, pair) => value !== correctAfter[pair])
    ? correctByLogRatio
    : undefined;
}

/** Texts are not recorded one by one, so there are intervals of the two losses and none of the change. */
function judgeTexts({ metrics }: TrainingReportInput): Judged {
  const levels = metrics.flatMap((line): HeldOutLoss[] => {
    const { step, eval_loss: loss, 'eval_loss/low': low, 'eval_loss/high': high } = line;
    if (typeof loss !== 'number') return [];
    return [
      { step, loss, ...(typeof low === 'number' && typeof high === 'number' && { interval: [low, high] }) },
    ];
  });
  const [before, after] = [levels[0], levels.at(-1)];
  if (before === undefined || after === undefined) {
    return { verdict: ['No held-out texts: whether the model learnt is not known.'] };
  }
  return { heldOutTexts: { before, after }, verdict: textVerdict(before, after) };
}

function klLevels({ metrics, kl = [] }: TrainingReportInput): KlLevel[] {
  const measured = new Map(kl.map((one) => [one.step, one]));
  return metrics.flatMap(({ step, 'eval_kl/on_policy': value }): KlLevel[] => {
    if (typeof value !== 'number') return [];
    // Rounding makes a KL of nothing a little less than that.
    return [{ step, kl: Math.max(0, value), ...klInterval(measured.get(step)) }];
  });
}

function klInterval(measured: MeasuredKl | undefined): Pick<KlLevel, 'interval'> {
  if (measured === undefined || new Set(measured.prompts).size < 2) return {};
  const { low, high } = intervalOver(measured.kls, measured.prompts);
  return { interval: [Math.max(0, low), Math.max(0, high)] };
}

function intervalOver(values: Float64Array, prompts: readonly string[]): Estimate {
  const { estimate, low, high } = clusterBootstrap(values, prompts, { seed: SEED });
  return { estimate, low, high };
}
