export { ResponseCache } from './cache.ts';
export {
  apiKeyFromEnvironment,
  ChatServer,
  type JsonBody,
  type PostOptions,
  RequestRefused,
  ServerError,
  type ServerOptions,
  type ServerUsage,
  serverAddress,
  type TokenCount,
} from './client.ts';
export {
  type GeneratedRow,
  generateOnServer,
  type ServerCompletion,
  type ServerGeneration,
} from './generate.ts';
