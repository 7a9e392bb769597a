export {
  type ChatMessage,
  type ChatRole,
  ChatTemplate,
  type ChatTemplateSource,
  type RenderOptions,
} from './chat-template.ts';
export type { JsonObject } from './json.ts';
export {
  type DecodeOptions,
  type EncodeChatOptions,
  type EncodeOptions,
  Tokenizer,
  type TokenizerFiles,
} from './tokenizer.ts';
export { readTokenizerFiles, writeTokenizerFiles } from './tokenizer-files.ts';
