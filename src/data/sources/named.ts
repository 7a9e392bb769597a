import { fileURLToPath } from 'node:url';

/** The subreddits of Stanford Human Preferences. */
const SHP = [
  'askacademia',
  'askanthropology',
  'askbaking',
  'askcarguys',
  'askculinary',
  'askdocs',
  'askengineers',
  'askhistorians',
  'askhr',
  'askphilosophy',
  'askphysics',
  'askscience',
  'asksciencefiction',
  'asksocialscience',
  'askvet',
  'changemyview',
  'explainlikeimfive',
  'legaladvice',
];

/** The folders of Anthropic's helpful and harmless dialogues whose pairs people chose between. */
const HH = ['harmless-base', 'helpful-base', 'helpful-online', 'helpful-rejection-sampled'];

/** A file that comes with the package. */
function packaged(name: string): readonly string[] {
  return [fileURLToPath(new URL(`../../../examples/data/${name}`, import.meta.url))];
}

/**
 * Data sets by a short name, as files and hub data sets: the paper's dialogues (`hh`, `hh-test`: all four parts, as
 * `datasets` reads them); those that it judges on out of distribution (its appendix C.3); and the pairs that come with
 * the package. `shp` is the test split of every subreddit; of Stack Exchange, 20 GB in all, `stack-exchange` is one large
 * site. Other parts are named in full: `hf:HuggingFaceH4/stack-exchange-preferences/data/SITE`.
 */
export const NAMED_DATASETS: ReadonlyMap<string, readonly string[]> = new Map([
  ['hh', HH.map((part) => `hf:Anthropic/hh-rlhf/${part}:train`)],
  ['hh-test', HH.map((part) => `hf:Anthropic/hh-rlhf/${part}:test`)],
  ['shp', SHP.map((subreddit) => `hf:stanfordnlp/SHP/${subreddit}:test`)],
  ['stack-exchange', ['hf:HuggingFaceH4/stack-exchange-preferences/data/askubuntu.com']],
  ['quickstart-train', packaged('quickstart-train.jsonl.gz')],
  ['quickstart-eval', packaged('quickstart-eval.jsonl.gz')],
]);
