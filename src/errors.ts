/** Where a datum came from: shown to people as `file:line`. */
export interface SourceLocation {
  readonly file: string;
  /** One-based line, or row for formats without lines. */
  readonly line?: number;
}

export interface MallowsErrorDetails {
  /** What the caller can do about it, as an imperative sentence. */
  readonly hint?: string;
  readonly at?: SourceLocation;
  readonly cause?: unknown;
}

/**
 * Every error that the project raises on purpose. The message says what was wrong, what was received and what was
 * expected; `hint` says what to do; `code` is stable, so programs may branch on it.
 */
export class MallowsError extends Error {
  readonly code: string;
  readonly hint: string | undefined;
  readonly at: SourceLocation | undefined;

  constructor(code: string, message: string, details: MallowsErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.code = code;
    this.hint = details.hint;
    this.at = details.at;
  }

  /** The same error in other words: of its class, which decides what callers do, with its code, place and cause. */
  reworded(message: string, hint: string): MallowsError {
    const Same = this.constructor as typeof MallowsError;
    return new Same(this.code, message, { hint, cause: this, ...(this.at !== undefined && { at: this.at }) });
  }
}

/** Wrong command line, recipe or argument: exit code 2. */
export class UsageError extends MallowsError {}

/** Data that cannot be used as given: exit code 3. */
export class DataError extends MallowsError {}

/** A checkpoint, tokenizer or model configuration that is unsupported or damaged. */
export class ModelError extends MallowsError {}

/** A failure inside the engine, with the operator and its arguments in the message. */
export class EngineError extends MallowsError {}

/** A run that cannot go on: a loss that is not a number, a damaged checkpoint, a run directory of another recipe. */
export class TrainingError extends MallowsError {}
