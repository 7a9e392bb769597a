import { type Composition, type ObjectiveOptions, PRESETS, type Preset } from '../../objectives/index.ts';

/** What a reader has to know of an objective in order to read its rewards. */
export interface ObjectiveFacts {
  readonly name: string;
  /** The implicit reward of an answer: `β = 0.1 times log π − log π_ref`. */
  readonly reward: string;
  /** Whether rewards are measured from the reference. Training starts from it, so every pair begins as a tie. */
  readonly fromReference: boolean;
  /** How margins follow from log-ratios to the reference, in a sentence. */
  readonly marginFromLogRatios: string;
  /** Why chosen answers may lose probability, and what to do about it. */
  readonly fallingChosen: string;
  /** Where w(x) enters the loss. */
  readonly dispersionEnters: NonNullable<Composition['dispersionEnters']>;
}

/** The facts of an objective of the registry; undefined for one that a user defined. */
export function objectiveFacts(objective: ObjectiveOptions): ObjectiveFacts | undefined {
  const { name, ...given } = objective;
  const preset: Preset | undefined = Object.hasOwn(PRESETS, name)
    ? PRESETS[name as keyof typeof PRESETS]
    : undefined;
  const parsed = preset?.options.safeParse(given);
  if (preset === undefined || parsed?.success !== true) return undefined;
  const composition = preset.compose(name, parsed.data);
  const { score, dispersionEnters = 'none' } = composition;
  const factor = factorWords(parsed.data);
  return {
    name,
    reward: `${factor}${scoreWords(score.name)}`,
    fromReference: score.needsReference,
    marginFromLogRatios: marginWords(composition, factor),
    fallingChosen: fallingWords(composition),
    dispersionEnters,
  };
}

/** What multiplies a score to make a reward. */
function factorWords(options: Readonly<Record<string, unknown>>): string {
  for (const [option, symbol] of [
    ['beta', 'β'],
    ['lambda', 'λ'],
  ] as const) {
    if (typeof options[option] === 'number') return `${symbol} = ${options[option]} times `;
  }
  return '';
}

const PER_TOKEN = '-per-token';
const SCORES: Readonly<Record<string, string>> = {
  'log-ratio': 'log π − log π_ref',
  'log-probability': 'log π',
  'log-odds': 'the log odds of its mean token probability',
  'inverse-perplexity': 'its mean token probability',
};

/** Scores that have no words of their own are divergences from the reference. */
function scoreWords(name: string): string {
  if (!name.endsWith(PER_TOKEN)) return SCORES[name] ?? 'f′(π/π_ref)';
  const words = scoreWords(name.slice(0, -PER_TOKEN.length));
  return `${words.includes('−') ? `(${words})` : words} per token`;
}

function marginWords({ name, score }: Composition, factor: string): string {
  if (!score.needsReference)
    return `The rewards of ${name} do without a reference and are not made of these.`;
  if (score.name === 'log-ratio') return `The margin is ${factor}their difference.`;
  if (score.name === `log-ratio${PER_TOKEN}`) {
    return `The margin is ${factor}the difference of the log-ratios per token.`;
  }
  return `The margin is ${factor}the difference of ${scoreWords(score.name)}, which grows with each of them.`;
}

/** What the loss itself does for the chosen answer decides what can be advised. */
function fallingWords(composition: Composition): string {
  const { name, score, margin, rejectedFactor = 1, terms = [] } = composition;
  const adds = (term: string) => terms.some((one) => one.name === term);
  if (adds('chosen-nll')) {
    const lever = score.name === 'log-odds' ? 'lower λ, the weight of the odds ratio' : 'raise α, its weight';
    return (
      `The loss of ${name} has a term that keeps chosen answers likely, and here the pull of the pairs was stronger. ` +
      `If the samples read worse, ${lever}, or train for fewer steps.`
    );
  }
  if (margin?.name === 'chosen-drop') {
    return (
      `The loss of ${name} penalises chosen answers that become less likely, and here the pull of the pairs was ` +
      'stronger. If the samples read worse, raise λ, the weight of the penalty, or train for fewer steps.'
    );
  }
  if (adds('calibration')) {
    return (
      `The loss of ${name} draws the chosen answers’ log-ratios to a value above 0, which they have not reached. ` +
      'If the samples read worse, raise α, the weight of that term, or train for fewer steps.'
    );
  }
  if (rejectedFactor < 1) {
    return (
      `The loss of ${name} gives the rejected answer less weight, and still the chosen one fell with it. ` +
      'If the samples read worse, lower λ, that weight, or train for fewer steps.'
    );
  }
  const remedy = score.needsReference
    ? 'raise β, train for fewer steps, or add the likelihood term (objective rpo)'
    : 'train for fewer steps, or take an objective with a likelihood term (cpo)';
  return (
    'That is common and not an error: the loss only asks that rejected answers fall faster, and the probability ' +
    `goes to answers outside the data. If the samples read worse, ${remedy}.`
  );
}
