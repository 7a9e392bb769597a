/** Judges PAIRS pairs against a server with a cache, as a process that a test can kill. */
import { ChatJudge, judgePairs, loadTemplate } from '../../src/evaluate/judge/index.ts';
import { ResponseCache } from '../../src/evaluate/server/cache.ts';
import { apiKeyFromEnvironment, ChatServer } from '../../src/evaluate/server/client.ts';
import { testPairs } from './judge-pairs.ts';

const [, , , url, cachePath, count] = process.argv;
const cache = ResponseCache.open(cachePath!);
const server = new ChatServer({ url: url!, cache, firstDelayMs: 5, apiKey: apiKeyFromEnvironment() });
const judge = new ChatJudge(server, 'judge', loadTemplate('pairwise'));
const judged = await judgePairs(testPairs(Number(count)), judge);
cache.close();
console.log(JSON.stringify({ judged, usage: server.usage }));
