import { createHash } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hubDatasets } from './datasets.ts';
import { type HubProgress, type HubSettings, hubSettings, hubSnapshot } from './index.ts';
import { missingShards } from './shards.ts';

const COMMIT = 'a'.repeat(40);
const small = Buffer.from('{"model_type":"llama"}');
const large = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7919) % 251));
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const gitHash = (bytes: Buffer) =>
  createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** A hub and the content server that it redirects to, both on loopback; tests change their handlers. */
class FakeHub {
  readonly seen: {
    host: string;
    url: string;
    authorization: string | undefined;
    range: string | undefined;
  }[] = [];
  siblings: unknown[] = [
    { rfilename: 'config.json', size: small.length, blobId: gitHash(small) },
    {
      rfilename: 'model.safetensors',
      size: large.length,
      blobId: 'x',
      lfs: { sha256: sha256(large), size: large.length },
    },
    { rfilename: 'folder/extra.txt', size: small.length, blobId: gitHash(small) },
  ];
  api: Handler = (_, response) => json(response, { sha: COMMIT, siblings: this.siblings });
  content: Handler = (request, response) => serve(request, response, large);
  readonly #servers: Server[] = [];
  #hub = '';
  #content = '';

  async start(): Promise<this> {
    this.#content = await this.#listen('content', (request, response) => this.content(request, response));
    this.#hub = await this.#listen('hub', (request, response) => {
      const { pathname } = new URL(request.url!, 'http://hub');
      if (pathname.startsWith('/api/')) return this.api(request, response);
      if (pathname.endsWith('model.safetensors')) {
        return response.writeHead(302, { location: `${this.#content}/blob` }).end();
      }
      return serve(request, response, small);
    });
    return this;
  }

  get endpoint(): string {
    return this.#hub;
  }

  async stop(): Promise<void> {
    for (const server of this.#servers) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  async #listen(host: string, handler: Handler): Promise<string> {
    const server = createServer((request, response) => {
      const { authorization, range } = request.headers;
      this.seen.push({ host, url: request.url!, authorization, range });
      handler(request, response);
    });
    this.#servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }
}

function json(response: ServerResponse, value: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

function serve(request: IncomingMessage, response: ServerResponse, bytes: Buffer): void {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  response
    .writeHead(from > 0 ? 206 : 200, { 'content-length': bytes.length - from })
    .end(bytes.subarray(from));
}

let hub: FakeHub;
let cache: string;
let settings: HubSettings;

beforeEach(async () => {
  hub = await new FakeHub().start();
  cache = mkdtempSync(join(tmpdir(), 'mallows-hub-'));
  settings = {
    endpoint: hub.endpoint,
    token: 'hf_secret',
    cacheDirectory: cache,
    offline: false,
    connectTimeout: 2000,
    stallTimeout: 300,
    parallel: 2,
  };
});
afterEach(async () => {
  await hub.stop();
  rmSync(cache, { recursive: true });
});

const request = { type: 'model', name: 'owner/name', select: (paths: readonly string[]) => paths } as const;
const repository = () => join(cache, 'models--owner--name');

describe('hubSnapshot', () => {
  it("fills the cache in huggingface_hub's layout", async () => {
    const snapshot = await hubSnapshot(request, { settings });
    expect(snapshot.revision).toBe(COMMIT);
    expect(snapshot.files.map((file) => file.path)).toEqual([
      'config.json',
      'model.safetensors',
      'folder/extra.txt',
    ]);
    expect(readFileSync(join(snapshot.directory, 'model.safetensors')).equals(large)).toBe(true);
    expect(readFileSync(join(repository(), 'refs', 'main'), 'utf8')).toBe(COMMIT);
    const pointer = join(repository(), 'snapshots', COMMIT, 'folder', 'extra.txt');
    expect(lstatSync(pointer).isSymbolicLink()).toBe(true);
    expect(readlinkSync(pointer)).toBe(`../../../blobs/${gitHash(small)}`);
    expect(readdirSync(join(repository(), 'blobs')).sort()).toEqual([gitHash(small), sha256(large)].sort());
  });

  it('downloads what is selected, once', async () => {
    const select = () => ['config.json'];
    await hubSnapshot({ ...request, select }, { settings });
    await hubSnapshot({ ...request, select }, { settings });
    expect(hub.seen.filter((entry) => !entry.url.startsWith('/api/'))).toHaveLength(1);
  });

  it('sends the token to the hub, never to where it redirects', async () => {
    await hubSnapshot(request, { settings });
    const hosts = (host: string) =>
      hub.seen.filter((entry) => entry.host === host).map((entry) => entry.authorization);
    expect(new Set(hosts('hub'))).toEqual(new Set(['Bearer hf_secret']));
    expect(hosts('content')).toEqual([undefined]);
  });

  it('asks for the revision, by name or commit', async () => {
    hub.siblings = [];
    const fetcher = hubDatasets({ settings });
    expect(
      await fetcher({ repository: 'owner/name', revision: 'refs/pr/1', select: () => [] }),
    ).toMatchObject({
      revision: COMMIT,
      files: [],
    });
    expect(readFileSync(join(cache, 'datasets--owner--name', 'refs', 'refs', 'pr', '1'), 'utf8')).toBe(
      COMMIT,
    );
    expect(hub.seen[0]!.url).toBe('/api/datasets/owner/name/revision/refs%2Fpr%2F1?blobs=true');
    const another = hubSnapshot({ ...request, revision: 'b'.repeat(40) }, { settings });
    await expect(another).rejects.toThrowError(/answers with commit aaaa/);
  });

  it('reports bytes of all files together', async () => {
    const reports: HubProgress[] = [];
    await hubSnapshot(request, { settings, onProgress: (report) => reports.push(report) });
    const total = large.length + 2 * small.length;
    expect(reports.at(-1)).toEqual({ repository: 'owner/name', bytes: total, totalBytes: total });
  });

  it('continues a download that broke off', async () => {
    let attempts = 0;
    hub.content = (incoming, response) => {
      attempts++;
      if (attempts > 1) return serve(incoming, response, large);
      response.writeHead(200, { 'content-length': large.length });
      response.write(large.subarray(0, 100_000), () => response.destroy());
    };
    const snapshot = await hubSnapshot(request, { settings });
    expect(readFileSync(join(snapshot.directory, 'model.safetensors')).equals(large)).toBe(true);
    const ranges = hub.seen.filter((entry) => entry.host === 'content').map((entry) => entry.range);
    expect(ranges[0]).toBeUndefined();
    expect(ranges[1]).toMatch(/^bytes=[1-9]\d*-$/);
  });

  it('continues what an earlier process left, and starts again where the server cannot', async () => {
    const blobs = join(repository(), 'blobs');
    await hubSnapshot({ ...request, select: () => ['config.json'] }, { settings });
    writeFileSync(join(blobs, `${sha256(large)}.mallows-partial`), large.subarray(0, 1000));
    hub.content = (_, response) => response.writeHead(200, { 'content-length': large.length }).end(large);
    const snapshot = await hubSnapshot(request, { settings });
    expect(hub.seen.find((entry) => entry.host === 'content')?.range).toBe('bytes=1000-');
    expect(readFileSync(join(snapshot.directory, 'model.safetensors')).equals(large)).toBe(true);
  });

  it('gives up on a server that always breaks off or stalls, and keeps what came', async () => {
    hub.content = (incoming, response) => {
      const from = Number(/\d+/.exec(incoming.headers.range ?? '0')![0]);
      response.writeHead(from > 0 ? 206 : 200, { 'content-length': large.length - from });
      response.write(large.subarray(from, from + 1000));
    };
    await expect(hubSnapshot(request, { settings })).rejects.toMatchObject({
      code: 'hub-truncated',
      message: expect.stringMatching(/broke off after 4000 of 300000 bytes: nothing arrived for 0.3 s/),
    });
    expect(readdirSync(join(repository(), 'blobs')).some((file) => file.endsWith('.mallows-partial'))).toBe(
      true,
    );
    expect(existsSync(join(repository(), 'snapshots', COMMIT, 'model.safetensors'))).toBe(false);
  });

  it('throws a corrupted file away', async () => {
    const corrupted = Buffer.from(large);
    corrupted[12345]! ^= 1;
    hub.content = (incoming, response) => serve(incoming, response, corrupted);
    await expect(hubSnapshot(request, { settings })).rejects.toMatchObject({ code: 'hub-corrupted' });
    expect(readdirSync(join(repository(), 'blobs')).filter((file) => file.startsWith(sha256(large)))).toEqual(
      [],
    );
    hub.content = (incoming, response) => serve(incoming, response, large);
    await hubSnapshot(request, { settings });
  });

  it.each([
    [401, undefined, 'hub-forbidden', /HF_TOKEN/],
    [403, 'hf_secret', 'hub-forbidden', /another token/],
    [404, 'hf_secret', 'hub-not-found', /owner, name and revision/],
  ])('explains HTTP %i', async (status, token, code, hint) => {
    hub.api = (_, response) => json(response, { error: 'no' }, status);
    const failure = hubSnapshot(request, { settings: { ...settings, token } });
    await expect(failure).rejects.toMatchObject({ code, hint: expect.stringMatching(hint) });
    await expect(failure).rejects.not.toMatchObject({ message: expect.stringContaining('hf_secret') });
  });

  it('retries when the hub is busy', async () => {
    let calls = 0;
    const { api } = hub;
    hub.api = (incoming, response) => {
      calls++;
      if (calls < 3) response.writeHead(calls === 1 ? 429 : 503, { 'retry-after': '0' }).end();
      else api(incoming, response);
    };
    await hubSnapshot(request, { settings });
    expect(calls).toBe(3);
  });

  it('uses the cache offline, and says what is missing there', async () => {
    const offline = { ...settings, offline: true };
    await expect(hubSnapshot(request, { settings: offline })).rejects.toMatchObject({ code: 'hub-offline' });
    await hubSnapshot(request, { settings });
    const requests = hub.seen.length;
    const snapshot = await hubSnapshot(request, { settings: offline });
    expect(snapshot.revision).toBe(COMMIT);
    expect(snapshot.files).toHaveLength(3);
    const byCommit = await hubSnapshot({ ...request, revision: COMMIT }, { settings: offline });
    expect(byCommit.directory).toBe(snapshot.directory);
    expect(hub.seen).toHaveLength(requests);
  });

  it('falls back on the cache when the hub does not answer in time, and says so', async () => {
    await hubSnapshot(request, { settings });
    hub.api = () => {};
    const notices: string[] = [];
    const options = { settings, lookupTimeout: 100, notice: (message: string) => notices.push(message) };
    expect((await hubSnapshot(request, options)).revision).toBe(COMMIT);
    expect(notices).toEqual([expect.stringContaining('using the cached copy of owner/name (aaaaaaaa)')]);
    await expect(hubSnapshot({ ...request, name: 'owner/other' }, options)).rejects.toMatchObject({
      code: 'hub-unreachable',
      message: expect.stringContaining('did not answer within 0.1 s'),
    });
  });

  describe('with a part of a repository in the cache', () => {
    const shards = [0, 1, 2].map((i) => `data/train-0000${i}-of-00003.jsonl`);
    const snapshotPath = (path: string) => join(repository(), 'snapshots', COMMIT, path);
    const unreachable = () => ({ settings: { ...settings, endpoint: 'http://127.0.0.1:9' } });
    const offline = () => ({ settings: { ...settings, offline: true } });
    const listed = (paths: readonly string[]) =>
      paths.map((rfilename) => ({ rfilename, size: small.length, blobId: gitHash(small) }));

    beforeEach(() => {
      hub.siblings = listed(['README.md', ...shards]);
    });

    it.each([
      ['offline', offline, /without HF_HUB_OFFLINE/],
      ['without a connection', unreachable, /when the hub can be reached/],
    ])('refuses it %s, naming what a broken-off download did not bring', async (_, options, hint) => {
      hub.siblings = [
        ...listed(shards.slice(0, 1)),
        {
          rfilename: 'model.safetensors',
          size: large.length,
          lfs: { sha256: sha256(large), size: large.length },
        },
      ];
      hub.content = (_, response) => response.destroy();
      await expect(
        hubSnapshot({ ...request, revision: COMMIT }, { settings: { ...settings, parallel: 1 } }),
      ).rejects.toMatchObject({
        code: 'hub-unreachable',
      });
      expect(existsSync(snapshotPath(shards[0]!))).toBe(true);
      await expect(hubSnapshot({ ...request, revision: COMMIT }, options())).rejects.toMatchObject({
        code: 'hub-incomplete',
        message: expect.stringMatching(/owner\/name \(aaaaaaaa\): model\.safetensors\.$/),
        hint: expect.stringMatching(hint),
      });
      const select = (paths: readonly string[]) => paths.filter((path) => path.endsWith('.jsonl'));
      const part = await hubSnapshot({ ...request, revision: COMMIT, select }, options());
      expect(part.files.map((file) => file.path)).toEqual(shards.slice(0, 1));
    });

    it('sees a file that was removed or cut since, and fetches it when it can', async () => {
      await hubSnapshot(request, { settings });
      rmSync(snapshotPath(shards[1]!));
      writeFileSync(join(repository(), 'blobs', gitHash(small)), small.subarray(0, 5));
      await expect(hubSnapshot(request, offline())).rejects.toMatchObject({
        code: 'hub-incomplete',
        message: expect.stringContaining(`: README.md, ${shards.join(', ')}.`),
      });
      await hubSnapshot(request, { settings });
      const { files } = await hubSnapshot(request, offline());
      expect(files.map((file) => readFileSync(file.localPath, 'utf8'))).toEqual(
        Array(4).fill(small.toString()),
      );
    });

    it('that another program fetched, says that it may lack files, and refuses gaps between shards', async () => {
      await hubSnapshot(request, { settings });
      rmSync(join(repository(), 'listings'), { recursive: true });
      const notices: string[] = [];
      const options = { ...offline(), notice: (message: string) => notices.push(message) };
      expect((await hubSnapshot(request, options)).files).toHaveLength(4);
      expect(notices).toEqual([expect.stringMatching(/owner\/name .* cannot be checked/)]);
      rmSync(snapshotPath(shards[1]!));
      await expect(hubSnapshot(request, options)).rejects.toMatchObject({
        code: 'hub-incomplete',
        message: expect.stringMatching(/: data\/train-00001-of-00003\.$/),
      });
    });
  });

  it('lets several callers ask for one file at once', async () => {
    const select = () => ['model.safetensors'];
    hub.content = (incoming, response) => void setTimeout(() => serve(incoming, response, large), 150);
    const all = await Promise.all([1, 2, 3].map(() => hubSnapshot({ ...request, select }, { settings })));
    for (const { directory } of all)
      expect(readFileSync(join(directory, 'model.safetensors')).equals(large)).toBe(true);
    expect(hub.seen.filter((entry) => entry.host === 'content')).toHaveLength(1);
  });

  it('takes over the lock of a process that died', async () => {
    const blob = join(repository(), 'blobs', sha256(large));
    await hubSnapshot({ ...request, select: () => ['config.json'] }, { settings });
    const { hostname } = await import('node:os');
    writeFileSync(`${blob}.lock`, JSON.stringify({ pid: 2 ** 22 + 1, host: hostname() }));
    await hubSnapshot(request, { settings });
    expect(existsSync(`${blob}.lock`)).toBe(false);
  });

  it('refuses paths that leave the snapshot, and answers that are not a hub', async () => {
    hub.siblings = [{ rfilename: '../../evil', size: 1, blobId: gitHash(small) }];
    await expect(hubSnapshot(request, { settings })).rejects.toMatchObject({ code: 'hub-invalid' });
    hub.api = (_, response) => response.end('<html>');
    await expect(hubSnapshot(request, { settings })).rejects.toThrowError(/does not answer like the hub/);
  });
});

describe('missingShards', () => {
  it.each([
    ['files without numbers', ['train.jsonl', 'a-1-of-3.txt'], []],
    ['whole series', ['a-00000-of-00002.csv', 'a-00001-of-00002.csv', 'b-00000-of-00001.csv'], []],
    ['weights', ['model-00001-of-00003.safetensors'], ['model-00002-of-00003', 'model-00003-of-00003']],
    ['a series from 0', ['d/a-00001-of-00003-89ab.parquet'], ['d/a-00000-of-00003', 'd/a-00002-of-00003']],
    ['a series from 1', ['a-00002-of-00002.json'], ['a-00001-of-00002']],
  ])('of %s', (_, paths, missing) => {
    expect(missingShards(paths)).toEqual(missing);
  });
});

describe('hubSettings', () => {
  it('reads the environment that huggingface_hub reads', () => {
    const home = join(cache, 'home');
    expect(
      hubSettings({ HF_HOME: home, HF_ENDPOINT: 'https://mirror/', HF_HUB_OFFLINE: 'ON', HF_TOKEN: 't' }),
    ).toMatchObject({
      endpoint: 'https://mirror',
      cacheDirectory: join(home, 'hub'),
      offline: true,
      token: 't',
    });
    expect(hubSettings({ HF_HUB_CACHE: '/c', XDG_CACHE_HOME: '/x' }).cacheDirectory).toBe('/c');
    expect(hubSettings({ XDG_CACHE_HOME: '/x' })).toMatchObject({
      cacheDirectory: '/x/huggingface/hub',
      offline: false,
    });
  });

  it('takes an empty variable for one that is not set', () => {
    writeFileSync(join(cache, 'token'), 'hf_from_file');
    const names = ['HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN', 'HF_TOKEN_PATH', 'HF_ENDPOINT', 'HF_HUB_CACHE'];
    const empty = Object.fromEntries([...names, 'HUGGINGFACE_HUB_CACHE'].map((name) => [name, '']));
    expect(hubSettings({ ...empty, HF_HOME: cache })).toMatchObject({
      endpoint: 'https://huggingface.co',
      token: 'hf_from_file',
      cacheDirectory: join(cache, 'hub'),
    });
    expect(
      hubSettings({ HF_HOME: cache, HF_TOKEN: ' \n', HUGGING_FACE_HUB_TOKEN: 'hf_second\n' }).token,
    ).toBe('hf_second');
    const { cacheDirectory } = hubSettings({});
    expect(hubSettings({ HF_HOME: '', XDG_CACHE_HOME: '' }).cacheDirectory).toBe(cacheDirectory);
  });

  it.each(['huggingface.co', 'localhost:8080', 'ftp://mirror', '/mirror'])(
    'refuses %s for an endpoint',
    (address) => {
      expect(() => hubSettings({ HF_ENDPOINT: address })).toThrowError(
        expect.objectContaining({
          code: 'hub-endpoint',
          message: expect.stringContaining(address),
          hint: expect.stringContaining('https://huggingface.co'),
        }),
      );
    },
  );

  it('reads the token from its file', () => {
    writeFileSync(join(cache, 'token'), ' hf_from_file\n');
    expect(hubSettings({ HF_HOME: cache }).token).toBe('hf_from_file');
    expect(hubSettings({ HF_TOKEN_PATH: join(cache, 'token') }).token).toBe('hf_from_file');
  });
});
