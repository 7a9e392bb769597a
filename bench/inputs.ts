/** Files that both sides read. */
export interface Inputs {
  readonly folder: string;
  /** A Hugging Face directory. */
  readonly model: string;
  /** `{id, prompt, chosen, rejected}` as chat messages. */
  readonly pairs: string;
  /** `{prompt, chosen, rejected}` as token ids. */
  readonly tokens: string;
  /** `{ids}`. */
  readonly prompts: string;
  /** A model of the same operators without their arithmetic, and pairs for it. */
  readonly thinModel: string;
  readonly thinPairs: string;
}
