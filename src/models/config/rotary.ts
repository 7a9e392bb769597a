import type { RotaryScaling, RotarySettings } from '../../nn/rotary.ts';
import { ConfigFields, isRecord } from './fields.ts';

interface RotaryModel {
  readonly headWidth: number;
  readonly maxPositions: number;
  /** Where config.json says none. */
  readonly theta: number;
  /** The share of a head that turns where config.json says none; absent where all of it does. */
  readonly partial?: number;
}

/** For models whose layers turn by different angles. */
interface RotaryLayers {
  /** Its part of `rope_parameters`. */
  readonly layerType: 'full_attention' | 'sliding_attention';
  /** Where the classic layout keeps these layers' base; such layers are never stretched. */
  readonly thetaField?: string;
}

/** Rotary options in the classic layout (`rope_theta`, `rope_scaling`) or in version 5's `rope_parameters`. */
export function readRotary(fields: ConfigFields, model: RotaryModel, layers?: RotaryLayers): RotarySettings {
  const parameters = declared(fields, layers);
  const neox = model.partial !== undefined;
  const thetaField = layers?.thetaField ?? (neox ? 'rotary_emb_base' : 'rope_theta');
  const theta = parameters.number('rope_theta', fields.number(thetaField, model.theta));
  const partial = parameters.number(
    'partial_rotary_factor',
    fields.number('partial_rotary_factor', model.partial ?? 1),
  );
  if (!neox && partial !== 1) {
    fields.problem(`partial_rotary_factor is not part of this architecture, got ${partial}`);
  }
  const width = Math.trunc(model.headWidth * partial);
  if (width < 2 || width % 2 !== 0) fields.problem(`rotary width must be even and positive, got ${width}`);
  return { theta, width, scaling: readScaling(parameters, fields, model.maxPositions) };
}

/** The record that holds these layers' options; empty where there is none. */
function declared(fields: ConfigFields, layers: RotaryLayers | undefined): ConfigFields {
  const { rope_scaling, rope_parameters } = fields.raw;
  const nested = layers !== undefined && isRecord(rope_parameters) && rope_parameters[layers.layerType];
  if (isRecord(nested)) return new ConfigFields(nested, fields);
  if (layers?.thetaField !== undefined) return new ConfigFields({}, fields);

  const flat = [rope_scaling, rope_parameters].find(
    (value) => isRecord(value) && Object.keys(value).length > 0,
  );
  const parameters = new ConfigFields(isRecord(flat) ? flat : {}, fields);
  const types = Object.entries(parameters.raw).filter(([, value]) => isRecord(value));
  if (types.length > 0) {
    const names = types.map(([key]) => key).join(', ');
    fields.problem(`rope_parameters that differ by layer type (${names}) are not supported`);
  }
  return parameters;
}

function readScaling(parameters: ConfigFields, fields: ConfigFields, maxPositions: number): RotaryScaling {
  const type = (parameters.raw.rope_type ?? parameters.raw.type ?? 'default') as RotaryScaling['type'];
  switch (type) {
    case 'default':
      return { type };
    case 'linear':
      return { type, factor: parameters.number('factor') };
    case 'dynamic':
      return { type, factor: parameters.number('factor'), maxPositions };
    case 'llama3':
      return {
        type,
        factor: parameters.number('factor'),
        lowFrequencyFactor: parameters.number('low_freq_factor'),
        highFrequencyFactor: parameters.number('high_freq_factor'),
        originalMaxPositions: fields.has('original_max_position_embeddings')
          ? fields.size('original_max_position_embeddings')
          : parameters.size('original_max_position_embeddings', maxPositions),
      };
    default:
      fields.problem(
        `rotary scaling ${JSON.stringify(type)} is not supported (supported: default, linear, dynamic, llama3)`,
      );
      return { type: 'default' };
  }
}
