import { expect, it } from 'vitest';
import { type HubFetcher, openSource } from './index.ts';
import { NAMED_DATASETS } from './named.ts';

/** Lists a repository as the hub has it, and fetches nothing. */
function hubWith(files: readonly string[], asked: string[]): HubFetcher {
  return async ({ repository, select }) => {
    const chosen = select(files);
    asked.push(...chosen.map((path) => `${repository}/${path}`));
    return { revision: 'abc', files: chosen.map((path) => ({ path, localPath: path })) };
  };
}

it('reads all four parts of Anthropic’s dialogues, and not the attacks, which nobody chose between', async () => {
  const parts = ['harmless-base', 'helpful-base', 'helpful-online', 'helpful-rejection-sampled'];
  const files = parts.flatMap((part) => [`${part}/test.jsonl.gz`, `${part}/train.jsonl.gz`]);
  for (const [name, split] of [
    ['hh', 'train'],
    ['hh-test', 'test'],
  ] as const) {
    const asked: string[] = [];
    await openSource(
      name,
      hubWith(['README.md', 'red-team-attempts/red_team_attempts.jsonl.gz', ...files], asked),
    );
    expect(asked).toEqual(parts.map((part) => `Anthropic/hh-rlhf/${part}/${split}.jsonl.gz`));
  }
});

it('reads the pairs of the package wherever it is called, and calls them by their name', async () => {
  const source = await openSource('quickstart-eval');
  expect(source.name).toBe('quickstart-eval');
  let rows = 0;
  for await (const { file } of source.rows()) {
    expect(file).toBe('quickstart-eval.jsonl.gz');
    rows++;
  }
  expect(rows).toBe(102);
});

it('finds the out-of-distribution sets by name', async () => {
  const subreddits = NAMED_DATASETS.get('shp')!.map((name) => /SHP\/(\w+):test$/.exec(name)![1]!);
  expect(subreddits).toHaveLength(18);
  const asked: string[] = [];
  const files = subreddits.flatMap((name) =>
    ['train', 'validation', 'test'].map((split) => `${name}/${split}.json`),
  );
  const shp = await openSource('shp', hubWith(files, asked));
  expect(asked).toEqual(subreddits.map((name) => `stanfordnlp/SHP/${name}/test.json`));
  expect(shp.name).toContain('hf:stanfordnlp/SHP@abc/askdocs:test');

  asked.length = 0;
  const shards = [0, 1].map((i) => `data/askubuntu.com/train-0000${i}-of-00002.parquet`);
  await openSource(
    'stack-exchange',
    hubWith([...shards, 'data/cooking.stackexchange.com/train-00000-of-00001.parquet'], asked),
  );
  expect(asked).toEqual(shards.map((path) => `HuggingFaceH4/stack-exchange-preferences/${path}`));
});
