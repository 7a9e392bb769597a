import type { HeldOutLoss, HeldOutNumbers } from './contract.ts';
import type { ObjectiveFacts } from './objective.ts';
import { capital, changeWords, decimals, direction, percent } from './words.ts';

const MOVED = { up: 'rose', down: 'fell', unclear: 'went' } as const;

/**
 * Losses may have other parts than the preference (a likelihood term, weights that follow the policy), so a loss that fell
 * shows no preference by itself: the rewards have to have moved apart, and not have put more pairs in the wrong order.
 */
function pairHeadline({ lossChange, marginChange, accuracyChange }: HeldOutNumbers): string {
  const margin = direction(marginChange);
  switch (direction(lossChange)) {
    case 'down':
      return margin === 'up' && direction(accuracyChange) !== 'down'
        ? 'The model learnt the preference'
        : 'The loss fell, but this does not show that the model learnt the preference';
    case 'up':
      return margin === 'up'
        ? 'The loss rose, although chosen and rejected answers moved apart'
        : 'The model got worse';
    case 'unclear':
      return {
        up: 'No effect on the loss beyond chance, although chosen and rejected answers moved apart',
        down: 'No effect on the loss beyond chance, although rejected answers gained on chosen ones',
        unclear: 'No effect beyond chance',
      }[margin];
  }
}

/** What held-out pairs say of a preference tuning: loss, rewards, accuracy. */
export function pairVerdict(measured: HeldOutNumbers, objective: ObjectiveFacts | undefined): string[] {
  const { pairs, prompts, loss, lossBefore, lossChange, marginBefore, marginChange } = measured;
  const on = `on ${pairs} held-out pairs${prompts < pairs ? ` of ${prompts} prompts` : ''}`;
  const from =
    measured.belowLn2 === undefined ? decimals(lossBefore, 3) : 'ln 2 = 0.693, the loss of knowing nothing,';
  const margin = direction(marginChange);
  return [
    `${pairHeadline(measured)}: ${on} the loss ${MOVED[direction(lossChange)]} from ${from} to ` +
      `${decimals(loss.estimate, 3)} (${changeWords(lossChange)}).`,
    `The mean reward of chosen − rejected ${MOVED[margin]} from ${decimals(marginBefore, 3)} to ` +
      `${decimals(marginBefore + marginChange.estimate, 3)} (${changeWords(marginChange)})` +
      `${margin === 'unclear' ? ', which chance alone could give' : ''}.`,
    accuracyVerdict(measured, objective),
    ...(objective?.fromReference === false ? [orderedBefore(objective)] : []),
  ];
}

/** Only the change is a result of training: a model may have ordered the pairs before. */
function accuracyVerdict(
  { accuracy, accuracyBefore, accuracyChange }: HeldOutNumbers,
  objective: ObjectiveFacts | undefined,
): string {
  const before = `${percent(accuracyBefore)} before training${objective?.fromReference === true ? ', when all pairs tie' : ''}`;
  const change = changeWords(accuracyChange, { scale: 100, digits: 1, unit: ' points' });
  const outcome = {
    up: 'training raised it',
    down: 'training lowered it',
    unclear: 'training has not changed it beyond chance',
  }[direction(accuracyChange)];
  return (
    `The chosen answer has the higher reward in ${percent(accuracy.estimate)} of the pairs ` +
    `(95 % interval ${percent(accuracy.low)} to ${percent(accuracy.high)}), against ${before}: ${outcome} (${change}).`
  );
}

function orderedBefore({ name, reward }: ObjectiveFacts): string {
  return `The reward of an answer under ${name} is ${reward}, without a reference: the base model orders pairs by it already.`;
}

/** What the loss of held-out texts says of a supervised fine-tuning, from its first measurement to the last. */
export function textVerdict(before: HeldOutLoss, after: HeldOutLoss): string[] {
  if (before === after) {
    return [
      `The held-out loss was measured only once, after step ${before.step}: ${levelWords(before)}. Whether the model learnt is not known.`,
    ];
  }
  const moved = after.loss < before.loss ? 'fell' : after.loss > before.loss ? 'rose' : 'went';
  const levels = `on held-out texts the loss ${moved} from ${levelWords(before)} to ${levelWords(after)}`;
  const [first, last] = [before.interval, after.interval];
  if (first === undefined || last === undefined) {
    return [
      `${capital(levels)}.`,
      'They have one prompt: whether the model learnt anything about others is not known.',
    ];
  }
  // The same texts are in both means, so intervals that lie apart say more than 95 %; overlapping ones say nothing.
  const apart =
    last[1] < first[0] ? 'The model learnt' : last[0] > first[1] ? 'The model got worse' : undefined;
  if (apart !== undefined) return [`${apart}: ${levels}; the intervals do not overlap.`];
  return [
    `${capital(levels)}.`,
    'Whether that is more than chance is not known: the intervals overlap, and they are of each loss, not of its change, which differs less from text to text.',
  ];
}

function levelWords({ loss, interval }: HeldOutLoss): string {
  const range =
    interval === undefined
      ? ''
      : ` (95 % interval ${decimals(interval[0], 3)} to ${decimals(interval[1], 3)})`;
  return `${decimals(loss, 3)} nats a token${range}`;
}
