import type { LoadedModel } from '../checkpoints/index.ts';
import type { TextOrChat } from '../data/contract.ts';
import type { CausalLM } from '../models/contract.ts';
import type { Tokenizer } from '../text/index.ts';

/**
 * Tokens that end an answer to these prompts: the model's own, and for chats the one that ends the assistant's turn. What a
 * model learnt from chats ends its answers there, whatever its configuration calls EOS.
 */
export function stopTokensFor(
  { model, tokenizer }: { readonly model: Pick<CausalLM, 'config'>; readonly tokenizer: Tokenizer },
  prompts: readonly TextOrChat[],
): readonly number[] {
  const { eosTokenIds } = model.config;
  return prompts.some((prompt) => typeof prompt !== 'string')
    ? withEndOfTurn(eosTokenIds, tokenizer)
    : eosTokenIds;
}

/**
 * generation_config.json of a model that was trained on chats: transformers and vLLM read there that it stops where turns
 * end. Unchanged when it says so already.
 */
export function chatGenerationConfig({
  config: { eosTokenIds },
  tokenizer,
  generationConfig,
}: Pick<LoadedModel, 'config' | 'tokenizer' | 'generationConfig'>): LoadedModel['generationConfig'] {
  const ids = withEndOfTurn(eosTokenIds, tokenizer);
  return ids === eosTokenIds ? generationConfig : { ...generationConfig, eos_token_id: ids };
}

function withEndOfTurn(eosTokenIds: readonly number[], { endOfTurnId }: Tokenizer): readonly number[] {
  return endOfTurnId === undefined || eosTokenIds.includes(endOfTurnId)
    ? eosTokenIds
    : [...eosTokenIds, endOfTurnId];
}
