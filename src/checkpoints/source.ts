import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import type { JsonObject } from '../text/json.ts';
import type { Tokenizer } from '../text/tokenizer.ts';
import { identifyFile } from './files.ts';

/** Where a model came from, as it is kept in a run's provenance. */
export interface ModelSource {
  /** What was asked for. */
  readonly spec: string;
  readonly kind: 'directory' | 'gguf' | 'hub' | 'package';
  /** What was found: a path, `owner/name` of a hub, or a package. */
  readonly location: string;
  /** Commit of a hub repository, version of a package. */
  readonly revision?: string;
  /** Whose weights these are, as a model card names it. */
  readonly baseModel: string;
  readonly license?: string;
}

/** A source with the hashes of what was read. */
export interface ModelProvenance extends ModelSource {
  readonly weights: readonly { readonly file: string; readonly bytes: number; readonly sha256: string }[];
  /** SHA-256 over weights, configuration and tokenizer: equal hashes mean equal log-probabilities. */
  readonly hash: string;
}

export async function provenanceOf(
  source: ModelSource,
  parts: {
    readonly weightFiles: readonly string[];
    readonly config: JsonObject;
    readonly tokenizer: Tokenizer;
  },
): Promise<ModelProvenance> {
  const identities = await Promise.all(parts.weightFiles.map((path) => identifyFile(path)));
  const weights = identities
    .map(({ path, bytes, sha256 }) => ({ file: basename(path), bytes, sha256 }))
    .sort((a, b) => (a.file < b.file ? -1 : 1));
  const hash = createHash('sha256')
    .update(JSON.stringify([weights.map((file) => file.sha256), parts.config, parts.tokenizer.hash]))
    .digest('hex');
  return { ...source, weights, hash };
}
