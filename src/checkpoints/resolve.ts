import { existsSync, statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, extname, join, resolve } from 'node:path';
import { ModelError } from '../errors.ts';
import { isGguf } from './files.ts';
import { type HubProgress, type HubSettings, hubSettings, hubSnapshot } from './hub/index.ts';
import { isModelDirectory, selectModelFiles } from './huggingface.ts';
import { readLicense } from './model-card.ts';
import { fetchPackagedModel, type PackagedModel, SMOLLM2_PACKAGE } from './packaged.ts';
import type { ModelSource } from './source.ts';

export interface ResolveOptions {
  /** Told what was chosen where there was a choice, and what is being fetched. */
  readonly notice?: (message: string) => void;
  readonly onProgress?: (progress: HubProgress) => void;
  readonly hub?: HubSettings;
}

/** Files on this machine that a model specification stands for. */
export interface ResolvedModel {
  /** A directory in the Hugging Face layout, or a .gguf file. */
  readonly path: string;
  readonly source: ModelSource;
}

/** Names for models that need no account and no hub. */
const ALIASES: ReadonlyMap<string, { readonly hub: string; readonly packaged: PackagedModel }> = new Map([
  ['smollm2-135m', { hub: 'HuggingFaceTB/SmolLM2-135M-Instruct', packaged: SMOLLM2_PACKAGE }],
]);

/** How long the hub may take to answer when there is a package to fall back on. */
const LOOKUP_TIMEOUT = 2_000;

const HUB_ID = /^(?:hf:)?(?<repository>[\w.-]+\/[\w.-]+|(?<=hf:)[\w.-]+)(?:@(?<revision>[\w./-]+))?$/;

/** A repository as PEFT names it: the hub's oldest ones have no owner. */
const HUB_REPOSITORY = /^(?!\.)[\w.-]+(?:\/[\w.-]+)?(?<!\.gguf)$/;

/**
 * Finds the model that a specification names, fetching it if need be. In this order:
 * an alias (`smollm2-135m`, or `smollm2-135m:gguf` for the packaged file), a .gguf file, a directory (of a model, an
 * adapter, or a run), a hub id (`owner/name[@revision]`).
 */
export async function resolveModel(spec: string, options: ResolveOptions = {}): Promise<ResolvedModel> {
  const [name, variant] = spec.split(':') as [string, string?];
  const alias = ALIASES.get(name);
  if (alias !== undefined && !existsSync(spec)) return resolveAlias(spec, alias, variant, options);
  if (existsSync(spec)) return resolveLocal(spec);
  const { repository, revision } = HUB_ID.exec(spec)?.groups ?? {};
  if (repository === undefined || /^(\.|\/|~)/.test(spec) || isGguf(spec)) {
    throw new ModelError(
      'model-not-found',
      `There is no model "${spec}": no such file or directory, and no hub id.`,
      {
        hint: `Give a directory, a .gguf file, a hub id (owner/name[@revision]) or an alias (${[...ALIASES.keys()].join(', ')}).`,
      },
    );
  }
  return resolveHub(spec, repository, revision, options);
}

/** How an adapter's configuration names the base model that it was trained on. */
export interface BaseReference {
  readonly baseModel: string;
  /** Only for a hub's repository. */
  readonly revision?: string | undefined;
}

/** Names a model so that the same weights are found from any directory and, unless they are local, on any machine. */
export function baseReference({ kind, spec, location, revision }: ModelSource): BaseReference {
  switch (kind) {
    case 'hub':
      return { baseModel: location, revision };
    case 'package':
      // The bare alias means the hub's weights wherever the hub can be reached.
      return { baseModel: `${spec.split(':')[0]}:gguf` };
    case 'directory':
    case 'gguf':
      return { baseModel: resolve(location) };
  }
}

/** The other direction, for what PEFT writes too: the specification of the model that an adapter names as its base. */
export function baseSpecification({ baseModel, revision }: BaseReference): string {
  if (ALIASES.has(baseModel.split(':')[0]!) || !HUB_REPOSITORY.test(baseModel)) return baseModel;
  // A directory has no revisions, so that a base with one is the hub's, whatever lies in the working directory.
  if (revision !== undefined) return `hf:${baseModel}@${revision}`;
  return existsSync(baseModel) ? baseModel : `hf:${baseModel}`;
}

async function resolveAlias(
  spec: string,
  { hub, packaged }: { hub: string; packaged: PackagedModel },
  variant: string | undefined,
  options: ResolveOptions,
): Promise<ResolvedModel> {
  const notice = options.notice ?? (() => {});
  if (variant !== undefined && variant !== 'gguf') {
    throw new ModelError('model-not-found', `"${spec}" has the unknown variant "${variant}".`, {
      hint: `Use ${spec.split(':')[0]} or ${spec.split(':')[0]}:gguf.`,
    });
  }
  if (variant === undefined) {
    // Read before the attempt: settings that cannot be used are no reason to take another model.
    const settings = options.hub ?? hubSettings();
    try {
      const found = await resolveHub(spec, hub, undefined, { ...options, hub: settings }, LOOKUP_TIMEOUT);
      notice(`${spec}: using ${hub} from the hub (${found.source.revision?.slice(0, 8)}).`);
      return found;
    } catch (error) {
      if (!(error instanceof ModelError)) throw error;
      notice(`${spec}: ${error.message} Using the Q4_1 GGUF of the package ${packaged.package} instead.`);
    }
  }
  const path = await fetchPackagedModel(packaged, notice);
  const { version, baseModel, license } = packaged;
  return {
    path,
    source: {
      spec,
      kind: 'package',
      location: `${packaged.package}/${basename(path)}`,
      revision: version,
      baseModel,
      license,
    },
  };
}

async function resolveLocal(spec: string): Promise<ResolvedModel> {
  if (!statSync(spec).isDirectory()) {
    if (!isGguf(spec)) {
      throw new ModelError('model-not-found', `${spec} is neither a directory nor a .gguf file.`);
    }
    return {
      path: spec,
      source: { spec, kind: 'gguf', location: spec, baseModel: basename(spec, extname(spec)) },
    };
  }
  const directory = [spec, join(spec, 'model')].find(
    (path) => isModelDirectory(path) || existsSync(join(path, 'adapter_config.json')),
  );
  if (directory === undefined) return resolveLoneGguf(spec);
  const license = readLicense(join(directory, 'README.md'));
  return {
    path: directory,
    source: {
      spec,
      kind: 'directory',
      location: directory,
      baseModel: basename(spec),
      ...(license === undefined ? {} : { license }),
    },
  };
}

async function resolveLoneGguf(directory: string): Promise<ResolvedModel> {
  const files = (await readdir(directory)).filter((file) => isGguf(file));
  if (files.length === 1) return resolveLocal(join(directory, files[0]!));
  const found =
    files.length === 0 ? 'no config.json and no .gguf file' : `several .gguf files (${files.join(', ')})`;
  throw new ModelError('model-not-found', `${directory} holds ${found}.`, {
    hint:
      files.length === 0
        ? 'Give the directory that holds config.json and the weights.'
        : 'Name one of the files.',
  });
}

async function resolveHub(
  spec: string,
  repository: string,
  revision: string | undefined,
  options: ResolveOptions,
  lookupTimeout?: number,
): Promise<ResolvedModel> {
  const snapshot = await hubSnapshot(
    {
      type: 'model',
      name: repository,
      ...(revision === undefined ? {} : { revision }),
      select: (paths) => chooseFiles(repository, paths),
    },
    {
      settings: options.hub ?? hubSettings(),
      ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
      ...(options.notice === undefined ? {} : { notice: options.notice }),
      ...(lookupTimeout === undefined ? {} : { lookupTimeout }),
    },
  );
  const gguf = snapshot.files.find((file) => isGguf(file.path));
  const license = readLicense(join(snapshot.directory, 'README.md'));
  return {
    path: gguf?.localPath ?? snapshot.directory,
    source: {
      spec,
      kind: 'hub',
      location: repository,
      revision: snapshot.revision,
      baseModel: repository,
      ...(license === undefined ? {} : { license }),
    },
  };
}

function chooseFiles(repository: string, paths: readonly string[]): string[] {
  const files = selectModelFiles(paths);
  if (files.some((path) => path.endsWith('.safetensors'))) return files;
  const ggufs = paths.filter((path) => isGguf(path));
  if (ggufs.length === 1) return [...ggufs, ...paths.filter((path) => path === 'README.md')];
  const found =
    ggufs.length > 1
      ? `several GGUF files (${ggufs.join(', ')})`
      : `no safetensors weights (it holds ${paths.slice(0, 12).join(', ')})`;
  throw new ModelError('weights-missing', `The repository ${repository} holds ${found}.`, {
    hint:
      ggufs.length > 1
        ? 'Download one of them and give its path.'
        : 'Choose a repository with safetensors weights.',
  });
}
