import {
  type Device,
  type DType,
  type Generator,
  keep,
  noGrad,
  ops,
  type Tensor,
  tidy,
  wideDType,
  zeros,
} from '../engine/index.ts';
import { ModelError } from '../errors.ts';
import { Linear, type LinearLayout } from '../nn/linear.ts';
import { Parameter } from '../nn/parameter.ts';

/** Named weights of a checkpoint, whatever file they come from. */
export interface WeightSource {
  names(): Iterable<string>;
  /** A view or a tensor of its own, of any floating dtype; read once. */
  get(name: string): Tensor;
}

/** How a fresh parameter starts: `residual` is GPT-2's normal, narrowed by the depth of the residual path. */
export type Initial = 'normal' | 'residual' | 'zeros' | 'ones';

export interface Placement {
  readonly dtype: DType;
  readonly device: Device;
}

/**
 * Where a model's parts get their parameters: a checkpoint or a random generator. Family files ask for every
 * parameter by its Hugging Face name and shape, in reading order.
 */
export abstract class ParameterSource {
  readonly parameters = new Map<string, Parameter>();

  /** A parameter of this shape, created on first request; `initial` matters to random models only. */
  parameter(name: string, shape: readonly number[], initial: Initial): Parameter {
    const known = this.parameters.get(name);
    if (known !== undefined) return known;
    const parameter = new Parameter(name, this.create(name, shape, initial));
    this.parameters.set(name, parameter);
    return parameter;
  }

  /** A linear map with its weight, and its bias unless `bias` is false. */
  linear(
    name: string,
    sizes: { readonly in: number; readonly out: number },
    options: { readonly bias: boolean; readonly layout?: LinearLayout; readonly initial?: Initial },
  ): Linear {
    const layout = options.layout ?? 'out-in';
    const shape = layout === 'out-in' ? [sizes.out, sizes.in] : [sizes.in, sizes.out];
    const weight = this.parameter(`${name}.weight`, shape, options.initial ?? 'normal');
    const bias = options.bias ? this.parameter(`${name}.bias`, [sizes.out], 'zeros') : undefined;
    return new Linear(name, weight, bias, layout);
  }

  protected abstract create(name: string, shape: readonly number[], initial: Initial): Tensor;
}

/** Reads a checkpoint, collecting everything that does not fit so that one error can name it all. */
export class CheckpointParameters extends ParameterSource {
  readonly #weights: WeightSource;
  readonly #placement: Placement;
  readonly #unread: Set<string>;
  readonly #available: ReadonlySet<string>;
  readonly #prefix: string;
  readonly #aliases: Readonly<Record<string, string>>;
  readonly #missing: string[] = [];
  readonly #misshaped: string[] = [];

  /**
   * @param prefix the family's base-model prefix (`model.`): checkpoints of the bare base model leave it out.
   * @param aliases other names under which files hold a weight, by its Hugging Face name.
   */
  constructor(
    weights: WeightSource,
    placement: Placement,
    names: { readonly prefix: string; readonly aliases: Readonly<Record<string, string>> },
  ) {
    super();
    this.#weights = weights;
    this.#placement = placement;
    this.#available = new Set(weights.names());
    this.#unread = new Set(this.#available);
    this.#prefix = names.prefix;
    this.#aliases = names.aliases;
  }

  has(name: string): boolean {
    return this.#fileName(name) !== undefined;
  }

  /**
   * @throws ModelError `not-a-language-model` or `not-a-reward` where all but the last map fits, which is the other kind's;
   * else `weights-mismatch`, naming missing, mis-shaped and unexpected weights.
   */
  finish(ignorable: readonly RegExp[]): void {
    const unexpected = [...this.#unread].filter((name) => !ignorable.some((pattern) => pattern.test(name)));
    const problems = [
      list('missing', this.#missing),
      list('with the wrong shape', this.#misshaped),
      list('unexpected', unexpected),
    ].filter((line) => line !== '');
    if (problems.length === 0) return;
    for (const parameter of this.parameters.values()) parameter.value.dispose();
    if (this.#misshaped.length === 0) refuseOtherKind(this.#missing, unexpected);
    throw new ModelError(
      'weights-mismatch',
      `The checkpoint's weights do not fit its config.json:\n${problems.join('\n')}`,
      {
        hint: 'Check that config.json and the weight files come from the same model, and that no shard is missing.',
      },
    );
  }

  protected override create(name: string, shape: readonly number[]): Tensor {
    const fileName = this.#fileName(name);
    const { dtype, device } = this.#placement;
    if (fileName === undefined) {
      this.#missing.push(name);
      return keep(zeros([0]));
    }
    this.#unread.delete(fileName);
    return tidy(() => {
      const value = this.#weights.get(fileName);
      if (value.shape.length !== shape.length || value.shape.some((size, axis) => size !== shape[axis])) {
        this.#misshaped.push(`${fileName}: expected [${shape.join(', ')}], got [${value.shape.join(', ')}]`);
        return keep(zeros([0]));
      }
      return keep(ops.toDevice(value, device, dtype));
    });
  }

  #fileName(name: string): string | undefined {
    const bare = name.startsWith(this.#prefix) ? name.slice(this.#prefix.length) : undefined;
    return [name, this.#aliases[name], bare].find(
      (alias) => alias !== undefined && this.#available.has(alias),
    );
  }
}

/** What a language model ends in, by the names that files have for it, and what a model that scores ends in. */
export const HEAD_WEIGHT = /^(lm_head|embed_out)\.weight$/;
const SCORE_WEIGHT = 'score.weight';

/** @throws ModelError where nothing is wrong but that one kind of model was asked for and the other is there */
function refuseOtherKind(missing: readonly string[], unexpected: readonly string[]): void {
  const isHead = (name: string) => HEAD_WEIGHT.test(name);
  const isScore = (name: string) => name === SCORE_WEIGHT;
  // A tied head is no weight of its own: it may be neither missing nor unexpected.
  if (unexpected.length > 0 && unexpected.every(isScore) && missing.every(isHead)) {
    throw new ModelError(
      'not-a-language-model',
      `The checkpoint is a model that scores texts (${SCORE_WEIGHT}), such as a reward model; a language model is asked for here.`,
      { hint: 'Give a language model. A reward model scores answers, or judges them.' },
    );
  }
  if (missing.length > 0 && missing.every(isScore) && unexpected.every(isHead)) {
    throw new ModelError(
      'not-a-reward',
      `The checkpoint is a language model, without ${SCORE_WEIGHT}; a model that scores texts, such as a reward model, is asked for here.`,
      { hint: 'Give a reward model, or train one from this model: `mallows reward train` does.' },
    );
  }
}

/** Fresh parameters with transformers' initialisation for these families. */
export class RandomParameters extends ParameterSource {
  readonly #generator: Generator;
  readonly #placement: Placement;
  readonly #deviation: number;
  readonly #residualDeviation: number;

  constructor(
    generator: Generator,
    placement: Placement,
    model: { readonly initializerRange: number; readonly layers: number },
  ) {
    super();
    this.#generator = generator;
    this.#placement = placement;
    this.#deviation = model.initializerRange;
    this.#residualDeviation = model.initializerRange / Math.sqrt(2 * model.layers);
  }

  protected override create(_name: string, shape: readonly number[], initial: Initial): Tensor {
    const { dtype, device } = this.#placement;
    return noGrad(() =>
      tidy(() => {
        // Drawn in fp32 whatever the dtype, so that a seed means the same model everywhere.
        const value = zeros(shape, { dtype: wideDType(dtype), device });
        if (initial === 'ones') ops.fill_(value, 1);
        if (initial === 'normal') ops.normal_(value, 0, this.#deviation, { generator: this.#generator });
        if (initial === 'residual')
          ops.normal_(value, 0, this.#residualDeviation, { generator: this.#generator });
        return keep(ops.to(value, dtype));
      }),
    );
  }
}

function list(what: string, names: readonly string[]): string {
  if (names.length === 0) return '';
  const shown = names.slice(0, 10).map((name) => `    ${name}`);
  const rest = names.length > shown.length ? [`    … and ${names.length - shown.length} more`] : [];
  return [`  ${names.length} ${what}:`, ...shown, ...rest].join('\n');
}
