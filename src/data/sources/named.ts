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

/**
 * Data sets by a short name: those that the paper judges on out of distribution (its appendix C.3). `shp` is the test
 * split of every subreddit; of Stack Exchange, 20 GB in all, `stack-exchange` is one large site. Other parts are named in
 * full: `hf:HuggingFaceH4/stack-exchange-preferences/data/SITE`.
 */
export const NAMED_DATASETS: ReadonlyMap<string, readonly string[]> = new Map([
  ['shp', SHP.map((subreddit) => `hf:stanfordnlp/SHP/${subreddit}:test`)],
  ['stack-exchange', ['hf:HuggingFaceH4/stack-exchange-preferences/data/askubuntu.com']],
]);
