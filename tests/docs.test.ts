import { describe, expect, it } from 'vitest';
import { createContext } from '../src/cli/context.ts';
import { createProgram } from '../src/cli/program.ts';
import { describeKeys, sftSchema, trainSchema } from '../src/config/index.ts';
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
    const text = `# Recipe keys

Written from the schema. How recipes work: [recipes.md](recipes.md).

## \`mallows train\`

${keyTable(train)}

Further \`objective\` keys depend on \`objective.name\`: [objective-presets.md](objective-presets.md).

## \`mallows sft\`

The same without \`objective\`, \`dispersion\` and \`eval.kl_samples\`; \`optimizer.lr\` is 2e-5 by default and \`output\` \`runs/sft\`.
`;
    await expect(text).toMatchFileSnapshot('../docs/recipe-keys.md');
    const missing = sft.map(({ key }) => key).filter((key) => !train.some((one) => one.key === key));
    expect(missing).toEqual([]);
  });

  it('docs/objective-presets.md lists every objective', async () => {
    const sections = objectiveNames.map((name) => {
      const { summary, source, needsReference, options } = describeObjective(name);
      return `## ${name}

${summary} Source: ${source}. ${needsReference ? 'Needs a reference pass.' : 'Needs no reference model.'}

| option | value | default | |
|---|---|---|---|
${options.map((option) => `| \`${option.name}\` | ${cell(option.accepts)} | \`${JSON.stringify(option.default)}\` | ${cell(option.description)} |`).join('\n')}
`;
    });
    const text = `# Objectives

Written from the registry. What they mean and how they compose: [objectives.md](objectives.md).

${sections.join('\n')}`;
    await expect(text).toMatchFileSnapshot('../docs/objective-presets.md');
  });

  it('docs/commands.md shows every help, each on one screen', async () => {
    const program = createProgram(createContext([]), '0.0.0');
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
and nothing else. Exit codes: 0 done, 1 failure, 2 wrong usage or recipe, 3 unusable data, 130 interrupted. \`NO_COLOR\` is
honoured; \`--debug\` (or \`MALLOWS_DEBUG=1\`) shows causes and stacks.

${sections.join('\n')}`;
    await expect(text).toMatchFileSnapshot('../docs/commands.md');
  });
});
