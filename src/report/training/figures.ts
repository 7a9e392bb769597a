import type { MetricsRecord } from '../../runs/index.ts';
import { type Axis, lineChart, type Point } from '../charts.ts';
import type { Figure } from '../figure.ts';
import type { KlLevel, TrainingNumbers } from './contract.ts';
import { knowsNothing } from './numbers.ts';
import type { ObjectiveFacts } from './objective.ts';
import { decimals } from './words.ts';

export interface CaptionedFigure {
  readonly figure: Figure;
  readonly caption: string;
}

/** What the curves of a run are drawn from. */
export interface Curves {
  readonly metrics: readonly MetricsRecord[];
  readonly method: 'preference' | 'sft';
  /** Absent of an objective that a user defined. */
  readonly objective?: ObjectiveFacts;
  readonly numbers: TrainingNumbers;
}

/** Every curve that the run measured, with what it shows in words. */
export function curveFigures(curves: Curves): CaptionedFigure[] {
  return [
    lossFigure(curves),
    marginFigure(curves),
    accuracyFigure(curves),
    ratioFigure(curves),
    klFigure(curves.numbers.kl ?? []),
  ].filter((one) => one !== undefined);
}

function lossFigure({ metrics, method }: Curves): CaptionedFigure | undefined {
  const start = metrics.find(({ step }) => step === 0)?.eval_loss;
  const fromLn2 = method === 'preference' && typeof start === 'number' && knowsNothing(start);
  // Squared, hinge and exponential losses are no log-probabilities and have no unit.
  const unit = method === 'sft' ? 'nats a token' : fromLn2 ? 'nats a pair' : 'a pair';
  const figure = trainAndHeldOut(metrics, {
    name: 'loss',
    title: 'Loss',
    label: `loss (${unit})`,
    key: 'loss',
    ...(method === 'sft' && { range: FROM_ZERO }),
    ...(fromLn2 && { reference: [Math.LN2, 'ln 2'] }),
  });
  const caption =
    'Lower is better. Training loss is the mean of one batch and jumps with it; held-out loss decides.';
  return figure && { figure, caption };
}

function marginFigure({ metrics, objective }: Curves): CaptionedFigure | undefined {
  const figure = trainAndHeldOut(metrics, {
    name: 'margin',
    title: 'Margin',
    label: 'reward of chosen − rejected',
    key: 'rewards/margins',
    reference: [0, 'no difference'],
  });
  const reward = objective && ` Under ${objective.name} the reward of an answer is ${objective.reward}.`;
  const caption = `How far apart the model holds the two answers: the difference of their implicit rewards.${reward ?? ''}`;
  return figure && { figure, caption };
}

function accuracyFigure({ metrics, objective, numbers }: Curves): CaptionedFigure | undefined {
  const before = numbers.heldOut?.accuracyBefore;
  const ordered = objective?.fromReference === false;
  const figure = trainAndHeldOut(metrics, {
    name: 'accuracy',
    title: 'Accuracy',
    label: 'share of pairs',
    key: 'rewards/accuracies',
    range: [0, 1],
    reference: ordered && before !== undefined ? [before, 'before training'] : [0.5, 'chance'],
  });
  const start = ordered
    ? ' These rewards need no reference, so the base model orders pairs already: what training gave is the change from step 0.'
    : '';
  const caption = `How often the chosen answer has the higher reward; a tie counts one half.${start}`;
  return figure && { figure, caption };
}

interface CurveOptions {
  readonly name: string;
  readonly title: string;
  readonly label: string;
  readonly key: string;
  readonly range?: Axis['range'];
  readonly reference?: readonly [value: number, label: string];
}

const FROM_ZERO = [0, Number.POSITIVE_INFINITY] as const;

function trainAndHeldOut(metrics: readonly MetricsRecord[], curve: CurveOptions): Figure | undefined {
  const training = pointsOf(metrics, curve.key);
  const heldOut = pointsOf(metrics, `eval_${curve.key}`);
  if (training.length === 0 && heldOut.length === 0) return undefined;
  return lineChart({
    name: curve.name,
    title: curve.title,
    description: `${curve.title} by step: ${describeCurve('training', training)}; ${describeCurve('held-out', heldOut)}.`,
    x: { label: 'step' },
    y: { label: curve.label, ...(curve.range && { range: curve.range }) },
    series: [
      { label: 'training', points: training, color: 'grey' as const },
      {
        label: 'held out',
        points: heldOut,
        band: intervalOf(metrics, `eval_${curve.key}`),
        color: 'blue' as const,
        dots: true,
      },
    ].filter((series) => series.points.length > 0),
    ...(curve.reference && {
      references: [{ axis: 'y' as const, value: curve.reference[0], label: curve.reference[1] }],
    }),
  });
}

function ratioFigure({ metrics, objective }: Curves): CaptionedFigure | undefined {
  const heldOut = pointsOf(metrics, 'eval_log_ratio/chosen').length > 1;
  const prefix = heldOut ? 'eval_' : '';
  const chosen = pointsOf(metrics, `${prefix}log_ratio/chosen`);
  const rejected = pointsOf(metrics, `${prefix}log_ratio/rejected`);
  if (chosen.length === 0) return undefined;
  const figure = lineChart({
    name: 'log-ratios',
    title: 'Chosen and rejected apart',
    subtitle: heldOut ? 'held-out pairs' : 'training pairs',
    description: `Log-ratio to the reference by step: ${describeCurve('chosen', chosen)}; ${describeCurve('rejected', rejected)}.`,
    x: { label: 'step' },
    y: { label: 'log π − log π_ref (nats an answer)' },
    series: [
      { label: 'chosen', points: chosen, color: 'green', dots: heldOut },
      { label: 'rejected', points: rejected, color: 'orange', dots: heldOut },
    ],
    references: [{ axis: 'y', value: 0, label: 'reference' }],
  });
  const margin = objective === undefined ? '' : ` ${objective.marginFromLogRatios}`;
  const caption = `How much more or less likely than under the reference each kind of answer became.${margin}`;
  return { figure, caption };
}

function klFigure(levels: readonly KlLevel[]): CaptionedFigure | undefined {
  if (levels.length === 0) return undefined;
  const points = levels.map(({ step, kl }) => ({ x: step, y: kl }));
  const figure = lineChart({
    name: 'kl',
    title: 'KL to the reference',
    subtitle: 'held-out prompts, answers of the policy itself',
    description: `KL to the reference by step: ${describeCurve('policy', points)} nats an answer.`,
    x: { label: 'step' },
    y: { label: 'KL(π ‖ π_ref) (nats an answer)', range: FROM_ZERO },
    series: [
      {
        label: '',
        points,
        band: levels.flatMap(({ step, interval }) =>
          interval === undefined ? [] : [{ x: step, low: interval[0], high: interval[1] }],
        ),
        color: 'blue',
        dots: true,
      },
    ],
    references: [{ axis: 'y', value: 0, label: 'reference' }],
  });
  const caption =
    'How far the model has gone from where it began, in what it writes. A gain at less KL is the better one.';
  return { figure, caption };
}

function pointsOf(metrics: readonly MetricsRecord[], key: string): Point[] {
  return metrics.flatMap((line) => {
    const y = line[key];
    return typeof y === 'number' ? [{ x: line.step, y }] : [];
  });
}

function intervalOf(
  metrics: readonly MetricsRecord[],
  key: string,
): { x: number; low: number; high: number }[] {
  return metrics.flatMap((line) => {
    const [low, high] = [line[`${key}/low`], line[`${key}/high`]];
    return typeof low === 'number' && typeof high === 'number' ? [{ x: line.step, low, high }] : [];
  });
}

function describeCurve(label: string, points: readonly Point[]): string {
  const [first, last] = [points[0], points.at(-1)];
  if (first === undefined || last === undefined) return `${label} not measured`;
  return `${label} from ${decimals(first.y, 3)} to ${decimals(last.y, 3)}`;
}
