import { z } from 'zod';
import { UsageError } from '../errors.ts';
import { accepts, type SchemaNode } from '../schema-words.ts';
import { suggest } from '../suggest.ts';
import { compose } from './compose.ts';
import type { Objective } from './contract.ts';
import { type ObjectiveName, PRESETS, type Preset } from './presets.ts';

/** An objective by name: editors complete those of the registry, and names that are read from somewhere are taken too. */
export type ObjectiveChoice = ObjectiveName | (string & {});

/** The options of a preset, each with a default. */
export type PresetOptions<Name extends ObjectiveName> = Readonly<z.input<(typeof PRESETS)[Name]['options']>>;

/** The name of an option that some preset has. */
export type PresetOptionName<Name extends ObjectiveName = ObjectiveName> = Name extends ObjectiveName
  ? keyof PresetOptions<Name>
  : never;

/** What an option may be in the presets that have it. */
export type PresetOptionValue<Option, Name extends ObjectiveName = ObjectiveName> = Name extends ObjectiveName
  ? Option extends keyof PresetOptions<Name>
    ? PresetOptions<Name>[Option]
    : never
  : never;

/**
 * An objective's name and any of its options; what is left out takes the documented default. The compiler knows the options
 * of all presets; whether this one has them is looked up when the objective is made.
 */
export type ObjectiveOptions = { readonly name: ObjectiveChoice } & {
  readonly [Option in PresetOptionName]?: PresetOptionValue<Option>;
};

/** An objective's name with every option that it has. */
export interface ResolvedObjectiveOptions {
  readonly name: ObjectiveName;
  readonly [option: string]: unknown;
}

export interface OptionDescription {
  readonly name: string;
  readonly default: unknown;
  /** E.g. `number > 0`, `true | false`, `sum | length`. */
  readonly accepts: string;
  readonly description: string;
}

export interface ObjectiveDescription {
  readonly name: ObjectiveName;
  readonly summary: string;
  readonly source: string;
  readonly needsReference: boolean;
  /** Whether a pair's loss depends on the other pairs of its batch, at default options. */
  readonly batchWide: boolean;
  readonly options: readonly OptionDescription[];
}

export const objectiveNames = Object.keys(PRESETS) as ObjectiveName[];

/** One wrong option of an objective. */
export interface OptionProblem {
  readonly option: string;
  /** What is wrong with it: `received -1, expected number > 0`. */
  readonly message: string;
}

function findPreset(name: string): Preset {
  if (Object.hasOwn(PRESETS, name)) return PRESETS[name as ObjectiveName];
  const nearest = suggest(name, objectiveNames);
  throw new UsageError(
    'unknown-objective',
    `There is no objective '${name}'.${nearest === undefined ? '' : ` Did you mean '${nearest}'?`}`,
    {
      hint: `Choose one of: ${objectiveNames.join(', ')}.`,
    },
  );
}

/** Everything that is wrong with an objective's options. Throws `UsageError` for an unknown objective. */
export function objectiveProblems(options: ObjectiveOptions): OptionProblem[] {
  const { name, ...given } = options;
  const preset = findPreset(name);
  const known = Object.keys(preset.options.shape);
  const issues = preset.options.safeParse(given).error?.issues ?? [];
  return issues.flatMap((issue) => {
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((option) => {
        const nearest = suggest(option, known);
        const help = nearest === undefined ? '' : ` (did you mean '${nearest}'?)`;
        return { option, message: `'${name}' has no such option${help}` };
      });
    }
    const option = String(issue.path[0]);
    const { accepts } = describeOption(option, preset);
    return [
      {
        option,
        message: `received ${JSON.stringify(given[option as keyof typeof given])}, expected ${accepts}`,
      },
    ];
  });
}

/** The options of an objective with defaults filled in; every problem is reported at once. */
export function resolveObjectiveOptions(options: ObjectiveOptions): ResolvedObjectiveOptions {
  const { name, ...given } = options;
  const preset = findPreset(name);
  const parsed = preset.options.safeParse(given);
  if (parsed.success) return { name: name as ObjectiveName, ...parsed.data };
  const problems = objectiveProblems(options).map(({ option, message }) => `${option}: ${message}`);
  throw new UsageError('objective-options', `${problems.join('. ')}.`, {
    hint: `'${name}' takes: ${Object.keys(preset.options.shape).join(', ')}.`,
  });
}

/** Creates an objective from the registry, e.g. `createObjective({ name: 'mallows-theta', beta: 0.05 })`. */
export function createObjective(options: ObjectiveOptions): Objective {
  const { name, ...resolved } = resolveObjectiveOptions(options);
  return compose(findPreset(name).compose(name, resolved));
}

function describeOption(name: string, preset: Preset): OptionDescription {
  const schema = z.toJSONSchema(preset.options) as { properties: Record<string, SchemaNode> };
  const node = schema.properties[name]!;
  return { name, default: node.default, accepts: accepts(node), description: node.description ?? '' };
}

/** What an objective is and takes: the source of the documentation's table and of the command line's help. */
export function describeObjective(name: string): ObjectiveDescription {
  const preset = findPreset(name);
  const { needsReference, batchWide = false } = createObjective({ name });
  return {
    name: name as ObjectiveName,
    summary: preset.summary,
    source: preset.source,
    needsReference,
    batchWide,
    options: Object.keys(preset.options.shape).map((option) => describeOption(option, preset)),
  };
}
