import { type ConfigFields, isRecord } from './fields.ts';

/** What every `config.json` says in the same words. */
export function commonFields(
  fields: ConfigFields,
  modelType: string,
  defaults: { readonly bos: number | undefined; readonly eos: number | undefined },
) {
  const labelNames = fields.raw.id2label;
  return {
    modelType,
    vocabularySize: fields.size('vocab_size'),
    bosTokenId: fields.tokenId('bos_token_id', defaults.bos),
    eosTokenIds: defaults.eos === undefined || fields.raw.eos_token_id === null ? [] : [defaults.eos],
    padTokenId: fields.tokenId('pad_token_id', undefined),
    initializerRange: fields.number('initializer_range', 0.02),
    labels: fields.size('num_labels', isRecord(labelNames) ? Object.keys(labelNames).length : 2),
    raw: fields.raw,
  };
}
