import { existsSync, readFileSync } from 'node:fs';
import { parse, stringify } from 'yaml';

/** What a saved model's README.md says. Nothing in it is guessed: what is not known is left out. */
export interface ModelCard {
  /** Title, e.g. the run's name. */
  readonly name: string;
  /** `owner/name` on the hub, or what the model is called where it came from. */
  readonly baseModel?: string;
  readonly baseRevision?: string;
  readonly license?: string;
  readonly language?: readonly string[];
  /** Training data: hub ids, or names of files. */
  readonly datasets?: readonly string[];
  /** `mallows-theta`, `dpo`, `sft`, …: with its coefficients in `settings`. */
  readonly objective?: string;
  /** What was trained with, in reading order. */
  readonly settings?: Readonly<Record<string, string | number>>;
  /** Held-out results, in reading order; a text can carry an interval. */
  readonly metrics?: Readonly<Record<string, string | number>>;
  readonly tags?: readonly string[];
  /** `text-generation` unless said otherwise. */
  readonly pipeline?: string;
  readonly library?: 'transformers' | 'peft';
}

/** What the hub lists cards under that are written here. */
const OWN_TAG = 'mallowspo';

const HUB_ID = /^[\w.-]+\/[\w.-]+$/;

/** README.md with the YAML front matter that the hub reads. */
export function renderModelCard(card: ModelCard): string {
  const { datasets = [], tags = [] } = card;
  const frontMatter = {
    ...(card.license === undefined ? {} : { license: card.license }),
    ...(card.language === undefined ? {} : { language: card.language }),
    ...(card.baseModel !== undefined && HUB_ID.test(card.baseModel) ? { base_model: card.baseModel } : {}),
    ...(datasets.some((name) => HUB_ID.test(name))
      ? { datasets: datasets.filter((name) => HUB_ID.test(name)) }
      : {}),
    library_name: card.library ?? 'transformers',
    pipeline_tag: card.pipeline ?? 'text-generation',
    tags: [...new Set([OWN_TAG, ...(card.objective === undefined ? [] : [card.objective]), ...tags])],
  };
  const revision = card.baseRevision === undefined ? '' : ` (revision \`${card.baseRevision}\`)`;
  const facts = [
    card.baseModel === undefined ? undefined : `- **Base model**: ${link(card.baseModel)}${revision}`,
    card.objective === undefined ? undefined : `- **Objective**: \`${card.objective}\``,
    datasets.length === 0 ? undefined : `- **Data**: ${datasets.map((name) => `\`${name}\``).join(', ')}`,
    card.license === undefined ? undefined : `- **Licence**: ${card.license}`,
  ];
  const sections = [
    `# ${card.name}`,
    facts.filter((line) => line !== undefined).join('\n'),
    table('Training', 'Setting', card.settings),
    table('Results on held-out data', 'Metric', card.metrics),
    '## Use\n\nThe files are in the Hugging Face layout: `AutoModelForCausalLM.from_pretrained` loads this directory.',
  ];
  const body = card.library === 'peft' || card.pipeline !== undefined ? sections.slice(0, -1) : sections;
  return `---\n${stringify(frontMatter)}---\n\n${body.filter((section) => section !== '').join('\n\n')}\n`;
}

/** The licence that a README.md states in its front matter, if there is one. */
export function readLicense(readme: string): string | undefined {
  const { license } = readFrontMatter(readme);
  return typeof license === 'string' ? license : undefined;
}

/** Whether a README.md began as a card that is written here: it says which model is beside it. */
export function isModelCard(readme: string): boolean {
  const { tags } = readFrontMatter(readme);
  return Array.isArray(tags) && tags.includes(OWN_TAG);
}

/** Empty where there is none, or none that can be read. */
function readFrontMatter(readme: string): Readonly<Record<string, unknown>> {
  if (!existsSync(readme)) return {};
  const front = /^---\n(.*?)\n---/s.exec(readFileSync(readme, 'utf8'))?.[1];
  if (front === undefined) return {};
  try {
    return Object(parse(front)) as Record<string, unknown>;
  } catch {
    return {};
  }
}

function table(title: string, first: string, rows: Readonly<Record<string, string | number>> = {}): string {
  const lines = Object.entries(rows).map(([name, value]) => `| ${name} | ${value} |`);
  return lines.length === 0 ? '' : `## ${title}\n\n| ${first} | Value |\n|---|---|\n${lines.join('\n')}`;
}

function link(model: string): string {
  return HUB_ID.test(model) ? `[${model}](https://huggingface.co/${model})` : `\`${model}\``;
}
