export { ResponseCache } from './cache.ts';
export {
  apiKeyFromEnvironment,
  ChatServer,
  type PostOptions,
  RequestRefused,
  ServerError,
  type ServerOptions,
  type ServerUsage,
} from './client.ts';
export {
  type GeneratedRow,
  generateOnServer,
  type ServerCompletion,
  type ServerGeneration,
} from './generate.ts';
