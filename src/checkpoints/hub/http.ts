import { setTimeout as sleep } from 'node:timers/promises';
import { ModelError } from '../../errors.ts';
import type { HubSettings } from './settings.ts';

/** The hub could not be reached, as opposed to: it answered that it will not. A cached copy may serve instead. */
export class HubUnreachable extends ModelError {}

const MOST_REDIRECTS = 5;
const ATTEMPTS = 4;

/**
 * A GET to the hub that follows redirects itself, because the token must not travel to another host, and retries
 * what is worth retrying (429, 5xx). Throws `HubUnreachable`, or `ModelError` for an answer of 4xx.
 *
 * @param what names the thing asked for in errors
 */
export async function hubGet(
  url: string,
  what: string,
  settings: HubSettings,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    const response = await follow(url, what, settings, headers);
    if (response.ok) return response;
    await response.body?.cancel();
    const busy = response.status === 429 || response.status >= 500;
    if (!busy) throw refusal(response, what, settings);
    if (attempt === ATTEMPTS) {
      throw new HubUnreachable(
        'hub-unreachable',
        `${settings.endpoint} answers HTTP ${response.status} to ${what}.`,
        {
          hint: 'Try again later.',
        },
      );
    }
    await sleep(retryDelay(response, attempt));
  }
}

async function follow(
  url: string,
  what: string,
  settings: HubSettings,
  headers: Readonly<Record<string, string>>,
): Promise<Response> {
  const home = new URL(settings.endpoint).origin;
  let target = new URL(url);
  for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
    const authorised = settings.token !== undefined && target.origin === home;
    const response = await request(target, what, settings, {
      ...headers,
      ...(authorised ? { authorization: `Bearer ${settings.token}` } : {}),
    });
    const location = response.headers.get('location');
    if (response.status < 300 || response.status >= 400 || location === null) return response;
    await response.body?.cancel();
    target = new URL(location, target);
    if (target.protocol !== 'https:' && target.origin !== home && !isLoopback(target)) {
      throw new ModelError(
        'hub-redirect',
        `The hub redirects ${what} to ${target.origin}, which is not encrypted.`,
      );
    }
  }
  throw new ModelError('hub-redirect', `The hub redirects ${what} more than ${MOST_REDIRECTS} times.`);
}

async function request(
  url: URL,
  what: string,
  settings: HubSettings,
  headers: Readonly<Record<string, string>>,
): Promise<Response> {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), settings.connectTimeout);
  try {
    return await fetch(url, {
      headers: { 'user-agent': 'mallowspo', 'accept-encoding': 'identity', ...headers },
      redirect: 'manual',
      signal: controller.signal,
    });
  } catch (cause) {
    const code = (cause as { cause?: { code?: string } }).cause?.code;
    const reason = controller.signal.aborted
      ? `did not answer within ${settings.connectTimeout / 1000} s`
      : `cannot be reached (${code ?? (cause as Error).message})`;
    throw new HubUnreachable('hub-unreachable', `${url.origin} ${reason}, asked for ${what}.`, {
      hint: 'Check the connection, set HF_ENDPOINT to a mirror, or use a local directory.',
      cause,
    });
  } finally {
    clearTimeout(timer);
  }
}

function refusal(response: Response, what: string, settings: HubSettings): ModelError {
  const { status } = response;
  if (status === 401 || status === 403) {
    const hint =
      settings.token === undefined
        ? 'It is private or gated: accept its terms on the hub, then set HF_TOKEN.'
        : 'The token gives no access to it: accept its terms on the hub, or use another token in HF_TOKEN.';
    return new ModelError('hub-forbidden', `The hub does not give out ${what} (HTTP ${status}).`, { hint });
  }
  if (status === 404) {
    return new ModelError('hub-not-found', `There is no ${what} at ${settings.endpoint}.`, {
      hint: 'Check owner, name and revision. Private repositories need HF_TOKEN.',
    });
  }
  return new ModelError('hub-refused', `The hub answers HTTP ${status} to ${what}.`);
}

function retryDelay(response: Response, attempt: number): number {
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
  return Number.isFinite(seconds) ? Math.min(seconds, 30) * 1000 : 250 * 2 ** attempt;
}

function isLoopback(url: URL): boolean {
  return ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname);
}
