import { describe, expect, it } from 'vitest';
import { createContext } from '../src/cli/context.ts';
import { createProgram } from '../src/cli/program.ts';
import { describeKeys, recipeKey, sftSchema, trainSchema } from '../src/config/index.ts';
import { describeObjective, objectiveNames } from '../src/objectives/index.ts';

/*
 * The reference pages are written from the program itself: `npx vitest run tests/docs.test.ts -u` renews them, and a page
 * that no longer says what the program does fails here.
 */

const cell = (text: string): string => text.replaceAll('|', '\\|');

function keyTable(keys: ReturnType<typeof describeKeys>): string {
  return [
    '| key | value | default | |',
    '|---|---|---|---|',
    ...keys.map(
      (key) =>
        `| \`${key.key}\` | ${cell(key.accepts)} | ${key.default === undefined ? '' : `\`${key.default}\``} | ${cell(key.description)} |`,
    ),
  ].join('\n');
}

describe('reference pages', () => {
  it('docs/recipe-keys.md lists every key', async () => {
    const train = describeKeys(trainSchema);
    const sft = describeKeys(sftSchema);
    for (const { key, description } of [...train, ...sft])
      expect(description, `${key} has no description`).not.toBe('');
    const lacks = train.map(({ key }) => key).filter((key) => !sft.some((one) => one.key === key));
    const whole = ['objective', 'dispersion'];
    const without = [...whole, ...lacks.filter((key) => !whole.includes(key.split('.')[0]!))];
    const text = `# Recipe keys

Written from the schema. How recipes work: [recipes.md](recipes.md).

## \`mallows train\`

${keyTable(train)}

Further \`objective\` keys depend on \`objective.name\`: [objective-presets.md](objective-presets.md).

## \`mallows sft\`

The same without ${without.map((key) => `\`${key}\``).join(', ')}; \`optimizer.lr\` is 2e-5 by default and \`output\` \`runs/sft\`.
`;
    await expect(text).toMatchFileSnapshot('../docs/recipe-keys.md');
    const missing = sft.map(({ key }) => key).filter((key) => !train.some((one) => one.key === key));
    expect(missing).toEqual([]);
  });

  it('docs/objective-presets.md lists every objective', async () => {
    const sections = objectiveNames.map((name) => {
      const { summary, source, needsReference, options } = describeObjective(name);
      return `## ${name}

${summary}. Source: ${source}. ${needsReference ? 'Needs a reference pass.' : 'Needs no reference model.'}

| option | value | default | |
|---|---|---|---|
${options.map((option) => `| \`${recipeKey(option.name)}\` | ${cell(option.accepts)} | \`${JSON.stringify(option.default)}\` | ${cell(option.description)} |`).join('\n')}
`;
    });
    const text = `# Objective presets

Written from the registry. What they mean and how they compose: [objectives.md](objectives.md). The options are named as in
recipes; the library’s names are the same in camelCase: \`label_smoothing\` is \`labelSmoothing\`.

${sections.join('\n')}`;
    await expect(text).toMatchFileSnapshot('../docs/objective-presets.md');
  });

  it('docs/commands.md shows every help, each on one screen', async () => {
    const program = createProgram(createContext(), '0.0.0');
    const pages = [program, ...program.commands].flatMap((each) => [
      each,
      ...(each === program ? [] : each.commands),
    ]);
    const sections = pages.map((each) => {
      const names: string[] = [];
      for (let one: typeof each | null = each; one !== null; one = one.parent) names.unshift(one.name());
      let help = '';
      each.configureOutput({
        writeOut: (text) => {
          help += text;
        },
      });
      each.outputHelp();
      expect(help.split('\n').length, `${names.join(' ')} --help`).toBeLessThanOrEqual(45);
      expect(help).toContain('Examples:');
      for (const line of help.split('\n')) expect(line.length, line).toBeLessThanOrEqual(110);
      return `## ${names.join(' ')}\n\n\`\`\`text\n${help.trimEnd()}\n\`\`\`\n`;
    });
    const text = `# Commands

Written from the program: what \`--help\` prints.

Every command: progress and remarks go to stderr, results to stdout. With \`--json\`, stdout carries one JSON object a line
and nothing else: [json.md](json.md). Exit codes: 0 done, 1 failure, 2 wrong usage or recipe, 3 unusable data, 130 interrupted. \`--debug\`
shows causes and stacks.

| environment variable | |
|---|---|
| \`MALLOWS_TORCH\` | set-up: the PyTorch to use: its folder \`torch\`, the site-packages around it, or a Python that imports it; later set-ups keep it |
| \`MALLOWS_CACHE\` | folder of the fetched engine, packaged models, files' hashes and reference scores; default \`mallows\` in \`XDG_CACHE_HOME\`, else in \`~/.cache\`, on macOS in \`~/Library/Caches\` |
| \`XDG_CACHE_HOME\` | where the caches are that no other variable places |
| \`MALLOWS_MALLOC\` | \`system\`: the C library's own way with freed memory (Linux), which is given back sooner and costs time |
| \`MALLOWS_DEBUG\` | \`1\`: the same as \`--debug\` |
| \`HF_HOME\` | folder of the hub's cache and token; default \`huggingface\` in \`XDG_CACHE_HOME\`, else in \`~/.cache\` |
| \`HF_HUB_CACHE\`, \`HUGGINGFACE_HUB_CACHE\` | folder of files from the hub, the first if both are set; default \`hub\` in \`HF_HOME\` |
| \`HF_TOKEN\`, \`HUGGING_FACE_HUB_TOKEN\` | token for private and gated repositories, the first if both are set |
| \`HF_TOKEN_PATH\` | file with the token, if neither is set; default \`token\` in \`HF_HOME\` |
| \`HF_ENDPOINT\` | address of a mirror, instead of the hub's |
| \`HF_HUB_OFFLINE\` | \`1\`, \`on\`, \`yes\` or \`true\`: the hub is not asked, its cache is used; files that are missing there are an error |
| \`OPENAI_API_KEY\` | key for a judge's API; \`--key-env\` names another variable. A server that generates gets none unless one is named |
| \`CXX\` | set-up: the C++ compiler, perhaps behind a launcher (\`ccache g++\`), \`c++\` by default |
| \`NO_COLOR\`, \`FORCE_COLOR\` | no colours; colours where there is no terminal, too |

${sections.join('\n')}`;
    await expect(text).toMatchFileSnapshot('../docs/commands.md');
  });
});
