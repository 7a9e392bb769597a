export { type ChatMessage, type ChatRole, ChatTemplate, type ChatTemplateSource } from './chat-template.ts';
export { type DecodeOptions, type EncodeOptions, Tokenizer, type TokenizerFiles } from './tokenizer.ts';
export { readTokenizerFiles, writeTokenizerFiles } from './tokenizer-files.ts';
