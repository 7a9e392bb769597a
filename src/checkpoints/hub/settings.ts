import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { ModelError } from '../../errors.ts';

/** How the hub is reached and where its files are kept. */
export interface HubSettings {
  readonly endpoint: string;
  /** Sent to the endpoint's own host only. */
  readonly token: string | undefined;
  readonly cacheDirectory: string;
  readonly offline: boolean;
  /** Milliseconds until a request has to be answered. */
  readonly connectTimeout: number;
  /** Milliseconds without a byte after which a download is given up. */
  readonly stallTimeout: number;
  /** Files downloaded at a time. */
  readonly parallel: number;
}

/** Settings from the environment variables that huggingface_hub reads; an empty one counts as not set. */
export function hubSettings(env: NodeJS.ProcessEnv = process.env): HubSettings {
  const home = env.HF_HOME || join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'huggingface');
  return {
    endpoint: checkEndpoint(env.HF_ENDPOINT?.trim() || 'https://huggingface.co'),
    token:
      env.HF_TOKEN?.trim() ||
      env.HUGGING_FACE_HUB_TOKEN?.trim() ||
      readToken(env.HF_TOKEN_PATH || join(home, 'token')),
    cacheDirectory: env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE || join(home, 'hub'),
    offline: /^(1|on|yes|true)$/i.test(env.HF_HUB_OFFLINE ?? ''),
    connectTimeout: 10_000,
    stallTimeout: 30_000,
    parallel: 4,
  };
}

/** The address without slashes at its end, since paths are appended to it. */
function checkEndpoint(address: string): string {
  const protocol = URL.canParse(address) ? new URL(address).protocol : '';
  if (/^https?:$/.test(protocol)) return address.replace(/\/+$/, '');
  throw new ModelError('hub-endpoint', `HF_ENDPOINT is "${address}", which is no http(s) address.`, {
    hint: 'Give the scheme too, as in https://huggingface.co, or unset HF_ENDPOINT.',
  });
}

function readToken(path: string): string | undefined {
  if (!existsSync(path)) return undefined;
  const token = readFileSync(path, 'utf8').trim();
  return token === '' ? undefined : token;
}
